"""How far a cost lies apart in two sets of runs. The unit of replication is the run.

Blocks of one run share its daemons, its memory layout, its place in the day: a run as a whole is moved by that, and no
number of blocks shows by how much. Where a side has several runs, their spread says it, and so does that of the host's
earlier runs, held against the usual spread of all costs (a few runs alone know their own badly). Where there is
neither, a floor stands in for it: VALIDITY.md has what real runs, back to back, differ by.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.estimation.distributions import chi_square_median, student_quantile, student_tail
from isobench.estimation.paired import FEWEST_PAIRS, SIGNIFICANCE, median

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.estimation.paired import Ratio

BETWEEN_RUNS = 0.03
"""Standard deviation (of logarithms) by which a run as a whole is taken to be moved, where nothing measured it: a
restart of the same measurement moves the start of a process by up to 4 %."""
_FLOOR_FREEDOM = 30.0
_USUAL_FREEDOM = 4
"""How many degrees of freedom the usual spread counts for, beside those of the cost's own runs."""
_MANY = 10
"""Costs from which there is a usual spread."""
_FLOOR_RUNS = 2
"""How many degrees of freedom the floor counts for, beside the usual spread of earlier runs: a dozen overrule it."""
FEWEST_EARLIER = 3
"""Earlier runs that say anything; from ten on what VALIDITY.md promises for them holds."""
_CUT = 0.9
"""Squared differences of runs above this quantile are cut to it: a step, or one wild run, is not the usual spread."""
_LATELY = 5
"""Differences, the last ones, that count by themselves where they are larger: noise that has grown."""
_RARE = 60
"""Among so many runs the largest stray is taken for as far as one goes. Of fewer it is as much larger as in a
distribution whose variance does not exist (the number of runs to the power of one half)."""
_USUAL_STRAY = 4.0
"""Usual differences that a run strays even where none is wild."""
_TOLD, _TOLD_OF_WILD = 100, 240
"""Strays of all costs together that tell whether any is wild; and, where some are, how far the next ones go. Of fewer
the next may be as much farther again, as one in twenty that is wild is hardly seen among fifty."""
_STRAY_WINDOW = 5
"""A run's stray is its distance from the median of so many runs around it, so that a step, which stays, is none."""


class Level(NamedTuple):
    """One cost in one run: the logarithm of its centre, its standard error, and the blocks behind it."""

    centre: float
    error: float
    effective: float


class Noise(NamedTuple):
    """How far one cost differs from run to run by itself: the variance of a run's centre (of logarithms) with its
    degrees of freedom, and how far a single run may stray."""

    variance: float
    freedom: float
    stray: float


class Shift(NamedTuple):
    """How much farther B lies than A, as a logarithm, with its standard error and Student's degrees of freedom. `stray`
    is by how much a single wild run may have moved it: what does not lie farther off is no claim."""

    centre: float
    error: float
    freedom: float
    stray: float = 0.0


def level(one: Ratio) -> Level | None:
    """What one run says; nothing from fewer than six pairs."""
    if one.found.n < FEWEST_PAIRS:
        return None
    freedom = max(one.reach.effective - 1, 1.0)
    half = (one.reach.down + one.reach.up) / 2
    return Level(one.found.centre, half / student_quantile(SIGNIFICANCE, freedom), one.reach.effective)


def usual_variance(costs: Sequence[tuple[Sequence[Level], Sequence[Level]]]) -> float | None:
    """The middle variance between the runs of one side, over all costs; None for few costs, or one run on each side."""
    known = [(_variance(a, b), len(a) + len(b) - 2) for a, b in costs if len(a) + len(b) > 2]
    if len(known) < _MANY:
        return None
    return _middle([variance for variance, _ in known], median([d for _, d in known]))


def noises(costs: Sequence[Sequence[np.ndarray]], apart: int = 1) -> list[Noise | None]:
    """What earlier runs of the host say of each cost; None where fewer than three have it.

    A cost is given as its centres (logarithms) in the order of the runs, those of another fingerprint apart.
    Differences of runs as far from each other as those that are compared (`apart`, counted in runs) tell the spread, so
    that a level that wanders slowly counts for as much as it moves in that time. Their squares are cut at a quantile,
    which one step in the history does not move. The largest stray of any cost, in units of its own usual difference, is
    how far a run may stray: a cost that has not done so yet will.
    """
    own = [_spread(centres, apart) for centres in costs]
    known = [one for one in own if one is not None]
    if not known:
        return [None] * len(own)
    variances = _shrunk([one.variance for one in known], [one.freedom for one in known])
    typical = _shrunk([one.typical for one in known], [one.freedom for one in known])
    farthest = max(one.stray / math.sqrt(usual) for one, usual in zip(known, typical, strict=True))
    farthest *= _unseen(farthest, [one.runs for one in known])
    told = iter(zip(known, variances, typical, strict=True))
    return [_noise(*next(told), farthest) if one is not None else None for one in own]


def shift(a: Sequence[Level], b: Sequence[Level], usual: float | None = None, noise: Noise | None = None) -> Shift:
    """How far B lies from A. Neither may be empty; `usual` is `usual_variance` of all costs, `noise` what earlier runs
    say of this one."""
    centre = float(np.mean([one.centre for one in b]) - np.mean([one.centre for one in a]))
    within = float(np.mean([one.error**2 for one in (*a, *b)]))
    freedom = len(a) + len(b) - 2
    if noise is None and freedom:
        noise = Noise(BETWEEN_RUNS**2 + within if usual is None else usual, _USUAL_FREEDOM, 0.0)
    if noise is not None:
        total = noise.freedom + freedom
        squares = freedom * _variance(a, b) if freedom else 0.0
        variance = max((noise.freedom * noise.variance + squares) / total, within)
        error = math.sqrt(variance * (1 / len(a) + 1 / len(b)))
        return Shift(centre, error, total, noise.stray / min(len(a), len(b)))
    parts = [(one.error**2, max(one.effective - 1, 1.0)) for one in (*a, *b)]
    parts.append((2 * BETWEEN_RUNS**2, _FLOOR_FREEDOM))
    variance = sum(part for part, _ in parts)
    return Shift(centre, math.sqrt(variance), variance**2 / sum(part**2 / of for part, of in parts))


def within(a: Sequence[Level], b: Sequence[Level]) -> Shift:
    """How far the runs of B lie from those of A, as a fact about these runs: no other run is spoken of."""
    error = math.sqrt(sum(float(np.mean([one.error**2 for one in side])) / len(side) for side in (a, b)))
    centre = float(np.mean([one.centre for one in b]) - np.mean([one.centre for one in a]))
    return Shift(centre, error, min(max(one.effective - 1, 1.0) for one in (*a, *b)))


def middle(shifts: Sequence[Shift]) -> Shift:
    """What most of several costs say together: their median, as uncertain as the middle one of them, which they may
    share, and as they differ."""
    centres = np.array([one.centre for one in shifts])
    centre = median(centres)
    apart = _MEDIAN_ERROR * median(np.abs(centres - centre)) / math.sqrt(len(centres))
    error = math.hypot(median([one.error for one in shifts]), apart)
    return Shift(centre, error, median([one.freedom for one in shifts]))


_MEDIAN_ERROR = 1.4826 * 1.2533
"""Of a median: the median distance from it as a standard deviation, and that of a median to that of a mean."""


def bounds(found: Shift, outside: float = SIGNIFICANCE) -> tuple[float, float]:
    """The interval that leaves out the truth with this probability."""
    reach = student_quantile(outside, found.freedom) * found.error
    return found.centre - reach, found.centre + reach


def claimed(found: Shift, outside: float) -> tuple[float, float]:
    """The same for a claim that the cost moved: it reaches as far as a run may stray, too."""
    low, high = bounds(found, outside)
    return min(low, found.centre - found.stray), max(high, found.centre + found.stray)


def p_beyond(found: Shift, edge: float) -> float:
    """The level at which that interval touches `edge`, on the side of its centre; 1 where the centre is nearer, or no
    farther from it than a run may stray."""
    distance = abs(found.centre) - edge
    if distance <= found.stray:
        return 1.0
    return 2 * student_tail(distance / found.error, found.freedom) if found.error else 0.0


def _unseen(farthest: float, runs: Sequence[int]) -> float:
    """How many times as far as the farthest stray that was seen, in usual differences, one may go that was not."""
    strays = sum(runs)
    more = math.sqrt(_TOLD_OF_WILD / strays)
    if farthest <= _USUAL_STRAY:
        more = min(more, _TOLD / strays)
    return math.sqrt(max(1.0, _RARE / max(runs))) * max(1.0, more)


class _Spread(NamedTuple):
    """What the earlier runs of one cost say alone. `typical` is the variance without its wild runs, `stray` how far the
    farthest of them lies from those around it."""

    variance: float
    typical: float
    freedom: float
    stray: float
    runs: int


def _spread(parts: Sequence[np.ndarray], apart: int) -> _Spread | None:
    parts = [part for part in parts if len(part) > 1]
    runs = sum(map(len, parts))
    if runs < FEWEST_EARLIER:
        return None
    lags = [min(apart, len(part) // 2) for part in parts]
    gaps = np.concatenate([part[lag:] - part[:-lag] for part, lag in zip(parts, lags, strict=True)])
    variance = _cut_variance(gaps, runs)
    if len(gaps) > _LATELY + 2:
        variance = max(variance, _cut_variance(gaps[-_LATELY:], _LATELY + 1))
    strays = np.concatenate([np.abs(part - _around(part)) for part in parts])
    usual = median(strays) / _MIDDLE_STRAY or median(np.abs(gaps)) / 0.954  # median of |N(0, 2)|
    typical, stray = min(variance, usual**2), float(np.max(strays))
    freedom = _FREEDOM_A_RUN * runs * len(gaps) / (runs - len(parts))
    return _Spread(variance, typical, freedom, stray, runs)


_MIDDLE_STRAY = 0.53
"""The middle distance of a run from those around it, by its standard deviation: of three to thirty normal ones, by
simulation. One wild run of three is in both differences of neighbours, and in one such distance."""
_FREEDOM_A_RUN = 0.55
"""Degrees of freedom of the variance of cut differences of neighbouring runs, by simulation of normal ones."""


def _cut_variance(gaps: np.ndarray, runs: int) -> float:
    """Of one run, by differences of two; without bias for normal ones (simulated, 4 to 30 runs)."""
    squares = gaps**2 / 2
    return float(np.mean(np.minimum(squares, np.quantile(squares, _CUT)))) / (0.83 + 0.4 / runs)


def _around(part: np.ndarray) -> np.ndarray:
    """By run the median of the five around it, or next to it at an end."""
    width = min(_STRAY_WINDOW, len(part))
    medians = np.median(np.lib.stride_tricks.sliding_window_view(part, width), axis=1)
    return np.asarray(medians[np.clip(np.arange(len(part)) - width // 2, 0, len(medians) - 1)])


def _shrunk(variances: list[float], freedoms: list[float]) -> list[float]:
    """Each held against the usual one of all costs, and that against the floor: neither is known well of a few runs."""
    floor = BETWEEN_RUNS**2
    freedom = median(freedoms)
    if len(variances) >= _MANY:
        floor = (_FLOOR_RUNS * floor + freedom * _middle(variances, freedom)) / (_FLOOR_RUNS + freedom)
    return [(_USUAL_FREEDOM * floor + of * one) / (_USUAL_FREEDOM + of)
            for one, of in zip(variances, freedoms, strict=True)]  # fmt: skip


def _noise(own: _Spread, variance: float, typical: float, farthest: float) -> Noise:
    return Noise(variance, _USUAL_FREEDOM + own.freedom, farthest * math.sqrt(typical))


def _middle(variances: list[float], freedom: float) -> float:
    """The variance that most have in truth: a median of what samples of such a size say is too low."""
    return median(variances) * freedom / chi_square_median(freedom)


def _variance(a: Sequence[Level], b: Sequence[Level]) -> float:
    """Of the runs about the mean of their own side."""
    squares = [float(np.sum((centres - centres.mean()) ** 2))
               for centres in (np.array([one.centre for one in side]) for side in (a, b))]  # fmt: skip
    return sum(squares) / (len(a) + len(b) - 2)
