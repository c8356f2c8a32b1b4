"""How much the blocks of a run resemble each other: what neighbours share makes many blocks tell as much as a few.

The measure is the autocorrelation at lag one of the paired differences, wild blocks cut, corrected for its bias in
short series. Six blocks of one cost hardly show it; those of forty costs, of one environment or of one metric do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.estimation.paired import FEWEST_PAIRS, MOST_EXPECTED, median

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

_ALONE, _AMONG_MANY = 1.28, 2.2
"""Deviations beyond which a correlation of the blocks is more than chance: of a series by itself (one-sided 10 %), and
of one among many that do not show it together (1.4 %)."""
_MIDDLE, _MIDDLE_OF_MANY = 1.25, 1.64
"""The same for the middle one of all, of four independent ones however few they are; and of as many as tell as much as
these (5 %)."""
_MIDDLE_OF_FAMILY = 2.33
"""The same for the costs of one environment, or of one metric (1 %: there are many of these)."""
_MANY = 4
_MOST_CORRELATED = 0.95
"""What a correlation is taken for at most."""
_FEWEST_EFFECTIVE = 3.0


class Correlation(NamedTuple):
    """How much neighbouring blocks resemble each other, as far as it is more than chance, and the most it can be."""

    likely: float
    at_most: float


NONE = Correlation(0.0, 0.0)


def correlations(many: Sequence[np.ndarray], families: Sequence[Iterable[Hashable]] = ()) -> list[Correlation]:
    """The correlation of each series of paired differences as far as it is more than chance, else 0: its own, or the
    middle one of all where they show it together, as they do where the host wanders. Many together bound it well, one
    by itself hardly. `families` has for each series those that it belongs to beside all of them: what wanders may be
    one environment, or one metric. A series of one value throughout tells nothing, and is told by the others."""
    rows = _rows(many)
    together, limit = [_of_all(rows)] * len(many), _AMONG_MANY if len(rows) >= _MANY else _ALONE
    for places in _members(families, rows):
        told = [rows[place] for place in places]
        found = _together(told, _MIDDLE_OF_FAMILY / math.sqrt(_independent([row.cut for row in told])))
        for place in places:
            together[place] = max(together[place], found)
    for place, row in rows.items():
        if row.next > _chance(len(row.cut), limit):
            likely = max(together[place].likely, row.next)
            together[place] = Correlation(likely, row.next + _chance(len(row.cut), _ALONE))
    return together


def common(many: Sequence[np.ndarray]) -> Correlation:
    """The correlation that these series show together, 0 where that is no more than chance or they are few."""
    return _of_all(_rows(many))


class _Row(NamedTuple):
    """Distances from the mean, those of wild blocks cut to 2.5 times the usual deviation, and how much neighbours, and
    blocks two apart, resemble each other."""

    cut: np.ndarray
    next: float
    second: float


def _row(differences: np.ndarray) -> _Row:
    cut = _cut(differences)
    return _Row(cut, _at_lag(cut, 1), _at_lag(cut, 2))


def _rows(many: Sequence[np.ndarray]) -> dict[int, _Row]:
    """By place those that tell anything."""
    return {place: _row(one) for place, one in enumerate(many) if len(one) >= FEWEST_PAIRS and np.ptp(one) > 0}


def _of_all(rows: Mapping[int, _Row]) -> Correlation:
    if len(rows) < _MANY:
        return NONE
    independent = _independent([row.cut for row in rows.values()])
    deviations = min(_MIDDLE / math.sqrt(_MANY), _MIDDLE_OF_MANY / math.sqrt(independent))
    return _together(list(rows.values()), deviations)


def _at_lag(cut: np.ndarray, lag: int) -> float:
    """The autocorrelation at this lag, corrected for its bias in short series."""
    squares, n = float(cut @ cut), len(cut)
    return (n * float(cut[lag:] @ cut[:-lag]) / squares + 1) / max(n - 3 - lag, 3) if squares else 0.0


def _members(families: Sequence[Iterable[Hashable]], rows: Collection[int]) -> Iterable[list[int]]:
    """The series of each family, where they are enough to tell something and not all of them."""
    found: dict[Hashable, list[int]] = {}
    for place in rows if families else ():
        for family in families[place]:
            found.setdefault(family, []).append(place)
    return (places for places in found.values() if _MANY <= len(places) < len(rows))


def _together(rows: Sequence[_Row], deviations: float) -> Correlation:
    """What the middle one of these shows, if it is more than so many deviations of chance."""
    middle, second = median([row.next for row in rows]), median([row.second for row in rows])
    chance = _chance(median([len(row.cut) for row in rows]), deviations)
    if middle <= chance:
        return NONE
    likely = _lasting(middle, second) if second > chance else middle
    return Correlation(likely, likely + chance)


def _lasting(one: float, two: float) -> float:
    """The correlation of neighbours in a series that loses as many blocks as one whose correlation falls from `one` to
    `two` in a block, and so on: a level that wanders beneath noise resembles itself little from block to block, and
    for long."""
    falls = min(max(two / one, one), MOST_EXPECTED)
    times = 1 + 2 * one / (1 - falls)
    return max(one, (times - 1) / (times + 1))


def _cut(differences: np.ndarray) -> np.ndarray:
    """Distances from the mean, wild blocks cut."""
    values = np.asarray(differences, dtype=np.float64)
    values = values - median(values)
    usual = 1.4826 * median(np.abs(values))
    if usual > 0:
        values = np.clip(values, -2.5 * usual, 2.5 * usual)
    return np.asarray(values - values.mean())


def _independent(cut: Sequence[np.ndarray]) -> float:
    """How many independent series tell as much together as these, which share a baseline or the same launches: by the
    mean square of their correlations with each other, less what chance gives. Of those of the commonest length."""
    lengths = [len(one) for one in cut]
    blocks = max(set(lengths), key=lengths.count)
    rows = np.array([one for one in cut if len(one) == blocks])
    sizes = np.sqrt(np.sum(rows**2, axis=1))
    rows = rows[sizes > 0] / sizes[sizes > 0, None]
    count = len(rows)
    if count < _MANY:
        return 1.0
    square, by_chance = (float(np.sum((rows @ rows.T) ** 2)) - count) / (count * (count - 1)), 1 / (blocks - 1)
    return count / (1 + (count - 1) * max(0.0, (square - by_chance) / (1 - by_chance)))


def _chance(blocks: float, deviations: float) -> float:
    """So many deviations of a correlation of independent blocks, which correcting the bias makes larger in few."""
    return deviations / math.sqrt(max(blocks, 1)) * blocks / max(blocks - 4, 3)


def effective(n: int, correlated: float) -> float:
    """How many independent blocks tell as much as `n` whose neighbours correlate so."""
    share = min(max(correlated, 0.0), _MOST_CORRELATED)
    return max(min(_FEWEST_EFFECTIVE, n), n * (1 - share) / (1 + share))
