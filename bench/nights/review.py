"""Which of the reported steps are confirmed by all the nights since.

A step has to be reported within a few nights, and among many nights a few reported steps are chance. A month later much
more is known. Then the levels on both sides of each step are compared over all their nights, and the weakest step is
dismissed as chance, until each remaining one gains more than the penalty of a search for the best segmentation, as asv
and Pelt apply it to the whole history at once. Confirmed steps are also dated by all nights of both levels: the few
nights by which a step was reported can miss its night by ten.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.nights.steps import Level

LATER = 30
"""Nights after a step until it is reviewed. In simulation, for steps as large as the noise after a hundred nights, four
in ten true ones are not confirmed then, one in seven after 45 nights, one in twelve after 60 and one in a hundred after
120; of steps half as large again one in two hundred."""
_PENALTY = 4.0
"""The penalty, as a multiple of the logarithm of the nights. The usual 3 (Zhang and Siegmund, Biometrics 63 (2007)) is
for levels that do not drift: it also splits charts that drift by one standard deviation in 325 nights (mean F1 over 180
synthetic ones: 0.982, with 4 0.990, with 5 0.991)."""
_WILD = 2.5
"""Standard deviations from its level's median at which a night is clipped."""


def borne_out(row: np.ndarray, levels: Sequence[Level]) -> list[bool]:
    """Whether each step of a series is confirmed; one that has not been reviewed yet counts as confirmed."""
    if not levels:
        return []
    noise = _noise(row)
    least = math.sqrt(_PENALTY * math.log(max(len(row), 2)))
    left = list(levels)
    while noise > 0:
        deviates = [_deviate(row, left, index, noise) for index in range(len(left))]
        weakest = min(range(len(left)), key=deviates.__getitem__, default=None)
        if weakest is None or deviates[weakest] >= least:
            break
        left.pop(weakest)
    return [level in left for level in levels]


def dated(row: np.ndarray, levels: Sequence[Level], stand: Sequence[bool]) -> list[Level]:
    """The same steps. Each that was reviewed and confirmed is moved to its most likely night according to all nights of
    both levels, with outliers clipped, but not beyond the night that confirmed it."""
    found = list(levels)
    standing = [place for place, stands in enumerate(stand) if stands]
    noise = _noise(row)
    for number, place in enumerate(standing):
        level = levels[place]
        begin = levels[standing[number - 1]].at if number else 0
        end = levels[standing[number + 1]].at if number + 1 < len(standing) else len(row)
        if noise > 0 and len(row) - level.at >= LATER and begin < level.at < end:
            at = _most_likely(row[begin:end] / noise, level.at - begin, level.confirmed - begin)
            found[place] = level._replace(at=begin + at)
    return found


def _most_likely(nights: np.ndarray, at: int, last: int) -> int:
    """The most likely first night of the second level; nights are in units of the noise."""
    places = np.arange(_FEWEST, min(len(nights) - _FEWEST, last) + 1)
    for _ in range(2 if len(places) else 0):  # the levels depend on the place
        far_before, far_after = (
            np.clip(nights - np.median(part), -_FAR, _FAR) ** 2 for part in (nights[:at], nights[at:])
        )
        at = int(places[np.argmin(np.cumsum(far_before - far_after)[places - 1])])
    return at


_FEWEST = 3
"""Nights on either side of a step."""
_FAR = 3.0
"""Standard deviations from a level at which a night is clipped."""


def _noise(row: np.ndarray) -> float:
    """Standard deviation of a night, from differences of neighbours, which steps hardly affect."""
    gaps = np.abs(np.diff(row))
    return (float(np.median(gaps)) / 0.954 or float(np.mean(gaps))) if len(gaps) else 0.0  # the median of |N(0, 2)|


def _deviate(row: np.ndarray, levels: Sequence[Level], index: int, noise: float) -> float:
    """The distance of the levels around this step in standard errors, from all their nights."""
    at = levels[index].at
    begin = levels[index - 1].at if index else 0
    end = levels[index + 1].at if index + 1 < len(levels) else len(row)
    if len(row) - at < LATER or not begin < at < end:
        return math.inf
    apart = abs(_level(row[at:end], noise) - _level(row[begin:at], noise)) / noise
    return apart * math.sqrt((at - begin) * (end - at) / (end - begin))


def _level(nights: np.ndarray, noise: float) -> float:
    middle = float(np.median(nights))
    return float(np.mean(np.clip(nights, middle - _WILD * noise, middle + _WILD * noise)))
