"""By how much a cost differs between two sets of runs. The unit of replication is the run.

Blocks of one run share its daemons, its memory layout, its time of day. That moves a run as a whole, and no number of
blocks shows by how much. The spread of several runs on a side does, and so does that of the host's earlier runs; both
are shrunk towards the usual spread of all costs, because a few runs estimate their own badly. Without either, a floor
is assumed: VALIDITY.md has the differences of real runs back to back.
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
"""Standard deviation (of logarithms) that is assumed for a run as a whole if it was not measured: a restart of the same
measurement moves the start of a process by up to 4 %."""
_FLOOR_FREEDOM = 30.0
_USUAL_FREEDOM = 4
"""Weight of the usual spread in degrees of freedom, relative to those of the cost's own runs."""
_MANY = 10
"""The fewest costs from which a usual spread is computed."""
_FLOOR_RUNS = 2
"""Weight of the floor in degrees of freedom, relative to the usual spread of earlier runs: a dozen runs overrule it."""
FEWEST_EARLIER = 3
"""The fewest earlier runs that are used; what VALIDITY.md promises for them holds from ten on."""
_CUT = 0.9
"""Squared differences of runs are clipped at this quantile: a step, or one outlying run, is not the usual spread."""
_LATELY = 5
"""The last differences, which replace all if they are larger: noise may have grown."""
_RARE = 60
"""With so many runs, the largest stray is taken as the limit. With fewer, the limit is larger, as for a distribution
without a variance (by the square root of the number of runs)."""
_USUAL_STRAY = 4.0
"""Usual differences that a run may stray even if there are no outliers."""
_TOLD, _TOLD_OF_WILD = 100, 240
"""Strays of all costs together that are needed to tell whether there are outliers, and, if so, how far the next ones
may go. With fewer, the next one may go that much farther, since one outlier in twenty is hardly seen among fifty."""
_STRAY_WINDOW = 5
"""A run's stray is its distance from the median of so many runs around it, so that a lasting step is not a stray."""


class Level(NamedTuple):
    """One cost in one run: the logarithm of its centre, its standard error, and the blocks behind it."""

    centre: float
    error: float
    effective: float


class Noise(NamedTuple):
    """The variation of one cost between unchanged runs: the variance of a run's centre (of logarithms) with its degrees
    of freedom, and how far a single run may stray."""

    variance: float
    freedom: float
    stray: float


class Shift(NamedTuple):
    """The logarithm of B to A, with its standard error and Student's degrees of freedom. `stray` is by how much a
    single outlying run may have moved it: a smaller difference supports no claim."""

    centre: float
    error: float
    freedom: float
    stray: float = 0.0


def level(one: Ratio) -> Level | None:
    """The level of one run; None for fewer than six pairs."""
    if one.found.n < FEWEST_PAIRS:
        return None
    freedom = max(one.reach.effective - 1, 1.0)
    half = (one.reach.down + one.reach.up) / 2
    return Level(one.found.centre, half / student_quantile(SIGNIFICANCE, freedom), one.reach.effective)


def usual_variance(costs: Sequence[tuple[Sequence[Level], Sequence[Level]]]) -> float | None:
    """The median variance between the runs of one side, over all costs; None for few costs, or one run on each side."""
    known = [(_variance(a, b), len(a) + len(b) - 2) for a, b in costs if len(a) + len(b) > 2]
    if len(known) < _MANY:
        return None
    return _middle([variance for variance, _ in known], median([d for _, d in known]))


def noises(costs: Sequence[Sequence[np.ndarray]], apart: int = 1) -> list[Noise | None]:
    """The noise of each cost according to earlier runs of the host; None if fewer than three have it.

    A cost is given as its centres (logarithms) in the order of the runs, one array per fingerprint. The spread comes
    from differences of runs as far apart as those that are compared (`apart`, counted in runs), so that a slow drift
    counts for as much as it moves in that time. Their squares are clipped at a quantile, which one step in the history
    does not move. The largest stray of any cost, in units of its own usual difference, is how far any run may stray: a
    cost that has not strayed yet still may.
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
    """The shift from A to B. Neither may be empty; `usual` is the `usual_variance` of all costs, `noise` that of this
    one according to earlier runs."""
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
    """The shift from A to B as a fact about these runs only, without inference to other runs."""
    error = math.sqrt(sum(float(np.mean([one.error**2 for one in side])) / len(side) for side in (a, b)))
    centre = float(np.mean([one.centre for one in b]) - np.mean([one.centre for one in a]))
    return Shift(centre, error, min(max(one.effective - 1, 1.0) for one in (*a, *b)))


def middle(shifts: Sequence[Shift]) -> Shift:
    """The common shift of several costs: their median. Its error combines their median error, which they may share, and
    their spread."""
    centres = np.array([one.centre for one in shifts])
    centre = median(centres)
    apart = _MEDIAN_ERROR * median(np.abs(centres - centre)) / math.sqrt(len(centres))
    error = math.hypot(median([one.error for one in shifts]), apart)
    return Shift(centre, error, median([one.freedom for one in shifts]))


_MEDIAN_ERROR = 1.4826 * 1.2533
"""Factors for a median: from the median distance to a standard deviation, and from the error of a mean to that of a
median."""


def bounds(found: Shift, outside: float = SIGNIFICANCE) -> tuple[float, float]:
    """The interval that misses the truth with this probability."""
    reach = student_quantile(outside, found.freedom) * found.error
    return found.centre - reach, found.centre + reach


def claimed(found: Shift, outside: float) -> tuple[float, float]:
    """The same for a claim that the cost moved: the interval also includes how far a run may stray."""
    low, high = bounds(found, outside)
    return min(low, found.centre - found.stray), max(high, found.centre + found.stray)


def p_beyond(found: Shift, edge: float) -> float:
    """The level at which that interval touches `edge`, on the side of its centre; 1 if the centre is nearer, or no
    farther from it than a run may stray."""
    distance = abs(found.centre) - edge
    if distance <= found.stray:
        return 1.0
    return 2 * student_tail(distance / found.error, found.freedom) if found.error else 0.0


def _unseen(farthest: float, runs: Sequence[int]) -> float:
    """How many times as far as the largest observed stray, in usual differences, an unobserved one may go."""
    strays = sum(runs)
    more = math.sqrt(_TOLD_OF_WILD / strays)
    if farthest <= _USUAL_STRAY:
        more = min(more, _TOLD / strays)
    return math.sqrt(max(1.0, _RARE / max(runs))) * max(1.0, more)


class _Spread(NamedTuple):
    """The spread of one cost's own earlier runs. `typical` is the variance without outliers, `stray` the largest
    distance of a run from those around it."""

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
"""The median distance of a run from those around it, in standard deviations: of three to thirty normal runs, by
simulation. One outlier of three runs is in both differences of neighbours, but in only one such distance."""
_FREEDOM_A_RUN = 0.55
"""Degrees of freedom of the variance of clipped differences of neighbouring runs, by simulation of normal ones."""


def _cut_variance(gaps: np.ndarray, runs: int) -> float:
    """The variance of one run, from differences of two; unbiased for normal runs (simulated, 4 to 30 runs)."""
    squares = gaps**2 / 2
    return float(np.mean(np.minimum(squares, np.quantile(squares, _CUT)))) / (0.83 + 0.4 / runs)


def _around(part: np.ndarray) -> np.ndarray:
    """For each run the median of the five around it, or of the nearest five at either end."""
    width = min(_STRAY_WINDOW, len(part))
    medians = np.median(np.lib.stride_tricks.sliding_window_view(part, width), axis=1)
    return np.asarray(medians[np.clip(np.arange(len(part)) - width // 2, 0, len(medians) - 1)])


def _shrunk(variances: list[float], freedoms: list[float]) -> list[float]:
    """Each shrunk towards the usual one of all costs, and that towards the floor: a few runs estimate neither well."""
    floor = BETWEEN_RUNS**2
    freedom = median(freedoms)
    if len(variances) >= _MANY:
        floor = (_FLOOR_RUNS * floor + freedom * _middle(variances, freedom)) / (_FLOOR_RUNS + freedom)
    return [(_USUAL_FREEDOM * floor + of * one) / (_USUAL_FREEDOM + of)
            for one, of in zip(variances, freedoms, strict=True)]  # fmt: skip


def _noise(own: _Spread, variance: float, typical: float, farthest: float) -> Noise:
    return Noise(variance, _USUAL_FREEDOM + own.freedom, farthest * math.sqrt(typical))


def _middle(variances: list[float], freedom: float) -> float:
    """The median of the true variances: that of sample variances is too low."""
    return median(variances) * freedom / chi_square_median(freedom)


def _variance(a: Sequence[Level], b: Sequence[Level]) -> float:
    """The variance of the runs about the mean of their own side."""
    squares = [float(np.sum((centres - centres.mean()) ** 2))
               for centres in (np.array([one.centre for one in side]) for side in (a, b))]  # fmt: skip
    return sum(squares) / (len(a) + len(b) - 2)
