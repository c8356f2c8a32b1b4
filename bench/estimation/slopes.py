"""Slopes with their sign, out of counts that the store holds only where they are positive.

A count that was not positive is missing. To regress over those that are there would leave out just the low ones, so a
number of instances counts in no block unless every block that came as far has its count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    Counts = Mapping[int, Mapping[int, float]]
    """Number of instances -> block -> value."""


def reached(ways: Mapping[str, Counts]) -> dict[int, int]:
    """The highest number of instances that each block came to: the highest with a count of any way."""
    found: dict[int, int] = {}
    for counts in ways.values():
        for count, values in counts.items():
            found.update({block: max(count, found.get(block, 0)) for block in values})
    return found


def signed(counts: Counts, steps: Mapping[int, int]) -> dict[int, float]:
    """Block -> slope by least squares over the numbers that are whole; none where a block has fewer than two."""
    whole = [
        count
        for count, values in sorted(counts.items())
        if values.keys() >= {block for block, highest in steps.items() if highest >= count}
    ]
    slopes = {}
    for block, highest in sorted(steps.items()):
        used = [count for count in whole if count <= highest]
        if len(used) > 1:
            slopes[block] = float(np.polyfit(used, [counts[count][block] for count in used], 1)[0])
    return slopes
