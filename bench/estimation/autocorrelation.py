"""Autocorrelation of the blocks of a run: correlated blocks carry as much information as fewer independent ones.

The measure is the autocorrelation at lag one of the paired differences, with outliers clipped, corrected for its bias
in short series. Six blocks of one cost hardly show it; those of forty costs, of one environment or of one metric
together do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.estimation.paired import FEWEST_PAIRS, MOST_EXPECTED, median

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

_ALONE, _AMONG_MANY = 1.28, 2.2
"""Standard deviations beyond which a correlation is more than chance: for a single series (one-sided 10 %), and for one
of many that do not show it together (1.4 %)."""
_MIDDLE, _MIDDLE_OF_MANY = 1.25, 1.64
"""The same for the median correlation of all series (5 %), assuming four independent ones, and with their effective
number; the smaller limit applies."""
_MIDDLE_OF_FAMILY = 2.33
"""The same for the costs of one environment, or of one metric (1 %: there are many of these)."""
_MANY = 4
_MOST_CORRELATED = 0.95
"""Upper limit of a correlation."""
_FEWEST_EFFECTIVE = 3.0


class Correlation(NamedTuple):
    """The correlation of neighbouring blocks, 0 if it is no more than chance, and its upper bound."""

    likely: float
    at_most: float


NONE = Correlation(0.0, 0.0)


def correlations(many: Sequence[np.ndarray], families: Sequence[Iterable[Hashable]] = ()) -> list[Correlation]:
    """The correlation of each series of paired differences, 0 if it is no more than chance. It is the series's own, or
    the median of all if they show it together, as they do if the host drifts. Many series together bound it well, a
    single one hardly. `families` has the families of each series: only one environment or one metric may drift. A
    constant series has no correlation of its own, and takes that of the others."""
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
    """The correlation that these series show together; 0 if it is no more than chance, or if they are few."""
    return _of_all(_rows(many))


class _Row(NamedTuple):
    """Distances from the mean, clipped at 2.5 times the usual deviation, and the autocorrelations at lag one and
    two."""

    cut: np.ndarray
    next: float
    second: float


def _row(differences: np.ndarray) -> _Row:
    cut = _cut(differences)
    return _Row(cut, _at_lag(cut, 1), _at_lag(cut, 2))


def _rows(many: Sequence[np.ndarray]) -> dict[int, _Row]:
    """The series that have a correlation, by their index."""
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
    """The series of each family that has enough of them, and not all."""
    found: dict[Hashable, list[int]] = {}
    for place in rows if families else ():
        for family in families[place]:
            found.setdefault(family, []).append(place)
    return (places for places in found.values() if _MANY <= len(places) < len(rows))


def _together(rows: Sequence[_Row], deviations: float) -> Correlation:
    """The median correlation of these, if it is more than so many standard deviations of chance."""
    middle, second = median([row.next for row in rows]), median([row.second for row in rows])
    chance = _chance(median([len(row.cut) for row in rows]), deviations)
    if middle <= chance:
        return NONE
    likely = _lasting(middle, second) if second > chance else middle
    return Correlation(likely, likely + chance)


def _lasting(one: float, two: float) -> float:
    """The AR(1) correlation that costs as many effective blocks as a correlation of `one` at lag one and `two` at lag
    two, falling on at that rate: a level that wanders beneath noise has a small but long autocorrelation."""
    falls = min(max(two / one, one), MOST_EXPECTED)
    times = 1 + 2 * one / (1 - falls)
    return max(one, (times - 1) / (times + 1))


def _cut(differences: np.ndarray) -> np.ndarray:
    """Distances from the mean, with outliers clipped."""
    values = np.asarray(differences, dtype=np.float64)
    values = values - median(values)
    usual = 1.4826 * median(np.abs(values))
    if usual > 0:
        values = np.clip(values, -2.5 * usual, 2.5 * usual)
    return np.asarray(values - values.mean())


def _independent(cut: Sequence[np.ndarray]) -> float:
    """The effective number of independent series among these, which share a baseline or launches: by the mean square of
    their cross-correlations, less what chance gives. Uses the series of the most frequent length."""
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
    """So many standard deviations of the correlation of independent blocks; the bias correction makes it larger for few
    blocks."""
    return deviations / math.sqrt(max(blocks, 1)) * blocks / max(blocks - 4, 3)


def effective(n: int, correlated: float) -> float:
    """The effective number of independent blocks among `n` with this correlation of neighbours."""
    share = min(max(correlated, 0.0), _MOST_CORRELATED)
    return max(min(_FEWEST_EFFECTIVE, n), n * (1 - share) / (1 + share))
