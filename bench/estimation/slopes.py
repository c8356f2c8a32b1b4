"""Slopes with their sign, from the counts of older runs, which stored only positive ones.

A count that was not positive is missing. A regression over the others would omit just the low ones, so a number of
instances is used only if every block that reached it has its count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    Counts = Mapping[int, Mapping[int, float]]
    """Number of instances -> block -> value."""


def reached(ways: Mapping[str, Counts]) -> dict[int, int]:
    """The highest number of instances that each block reached: the highest with a count of any kind."""
    found: dict[int, int] = {}
    for counts in ways.values():
        for count, values in counts.items():
            found.update({block: max(count, found.get(block, 0)) for block in values})
    return found


def signed(counts: Counts, steps: Mapping[int, int]) -> dict[int, float]:
    """Block -> slope by least squares over the complete numbers of instances; blocks with fewer than two are
    omitted."""
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
