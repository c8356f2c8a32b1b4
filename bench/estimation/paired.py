"""The paired estimate: the centre of per-block differences, its 95 % interval, and its correction for many comparisons.

The centre is the Hodges-Lehmann estimate (the median of all averages of two values, Walsh's averages) and the interval
inverts the Wilcoxon signed-rank test: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods (2013), sections 3.2
and 3.3. It is exact for symmetric differences at any size from six pairs on; fewer cannot reach 95 %. Ties need no
special rule: p counts the same averages that the interval consists of.

Ranks alone cannot correct for many comparisons: six pairs have no p below 2/64, however large the effect. So a claim
among many uses the same interval, stretched about its centre by the ratio of Student's quantiles (`stretched`). At the
level 0.05 that is the rank interval itself; a stricter level needs a larger distance, in half-widths. VALIDITY.md has
the error rates by kind of noise.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.estimation.distributions import NORMAL, student_quantile, student_tail

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
FEWEST_PAIRS = 6
"""With five pairs the widest possible interval has a confidence of 93.75 %."""
_MOST_LISTED = 600
"""Up to so many pairs all averages are listed; for more they are counted, with the same result."""
_THIN = 200
"""The search among many averages begins with those of so many evenly spaced values."""
_MOST_EXACT = 60
_MOST_SUMMED = 500
"""Binomial coefficients are summed up to so many values; beyond, the normal approximation is as good."""
_TRIMMED = 0.8
"""The floor of a stretched interval uses this share of the deviations, the smallest ones."""
_FARTHEST, _FARTHEST_POWER, _CORRELATED_POWER = 2.56, 0.82, 0.6
"""The upper limit of an interval's half-width with autocorrelated blocks, since Student's quantiles for few effective
blocks are unbounded. In units of the farthest block's distance, with n blocks and a correlation c of neighbours, it is
the first number · ((1 + c) / (1 - c))^third / n^second; the truth lies within it in 95 % of cases: simulated for six to
twenty blocks of AR(1) 0 to 0.95."""
MOST_EXPECTED = 0.9
"""The largest correlation of neighbours that is assumed if few blocks cannot bound it."""


class Interval(NamedTuple):
    """A centre and its interval. `confidence` is the interval's actual coverage (0.95 or a little more)."""

    centre: float
    low: float
    high: float
    confidence: float
    n: int


class Reach(NamedTuple):
    """The parameters of a stretched interval: the half-widths at 95 % below and above the centre, the effective number
    of independent blocks, and the upper limit of the half-width at 95 %."""

    down: float
    up: float
    effective: float
    most: float = math.inf
    freedom: float = 1.0
    """Student's degrees of freedom for stretching to other levels."""

    def most_at(self, level: float) -> float:
        return self.most * student_quantile(level, self.freedom) / student_quantile(SIGNIFICANCE, self.freedom)

    def level_of_most(self, distance: float) -> float:
        """The level at which that upper limit equals this distance."""
        return 2 * student_tail(distance / self.most * student_quantile(SIGNIFICANCE, self.freedom), self.freedom)


class Ratio(NamedTuple):
    """One environment relative to another, as logarithms of the paired ratios."""

    found: Interval
    reach: Reach
    p: float
    """p of the signed-rank test that the ratio is 1."""


def interval(differences: np.ndarray) -> Interval:
    """The centre of paired differences (any unit) and its 95 % interval. NaNs are not allowed; without differences the
    result is NaNs."""
    values = np.sort(np.asarray(differences, dtype=np.float64))
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0.0, 0)
    rank, confidence = (1, 1 - 2 * 0.5**n) if n < FEWEST_PAIRS else _rank(n)
    count = n * (n + 1) // 2
    middle, other, low, high = _averages(values, [(count - 1) // 2, count // 2, rank - 1, count - rank])
    return Interval((middle + other) / 2, low, high, confidence, n)


def centres(many: Sequence[np.ndarray]) -> list[float]:
    """The centres of many series, computed together for those of one length. None may be empty."""
    found = [0.0] * len(many)
    lengths = np.array([len(one) for one in many])
    for n in np.unique(lengths):
        places = np.flatnonzero(lengths == n).tolist()
        if n > _MOST_LISTED:
            middles = [interval(many[place]).centre for place in places]
        else:
            first, second = _pairs(n)
            rows = np.stack([many[place] for place in places])
            middles = np.median((rows[:, first] + rows[:, second]) / 2, axis=1).tolist()
        for place, middle in zip(places, middles, strict=True):
            found[place] = middle
    return found


def median(values: np.ndarray | Sequence[float]) -> float:
    """The median of one series, which may not be empty. numpy's own imports masked arrays first: a tenth of a
    comparison's time."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


@cache
def outside_median(n: int) -> int:
    """How many of `n` sorted values lie beyond either end of the 95 % interval of their median: that from one of the
    values to another (Thompson, Annals of Mathematical Statistics 7, 1936). There is no such interval for fewer than
    `FEWEST_PAIRS`."""
    if n > _MOST_SUMMED:
        return math.floor((n - NORMAL.inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(n)) / 2) - 1
    outside, below = 0, 1  # values outside, and the ways to have so many or fewer of them below the median
    while 2 * (below + math.comb(n, outside + 1)) <= SIGNIFICANCE * 2**n:
        outside += 1
        below += math.comb(n, outside)
    return outside


def p_value(differences: np.ndarray) -> float:
    """p of the two-sided signed-rank test that the differences are centred at zero, for every size and with ties: at
    most 0.05 exactly if the interval excludes zero."""
    values = np.sort(np.asarray(differences, dtype=np.float64))
    n = len(values)
    below = _at_most(values, 0.0)
    above = _at_most(-values[::-1], 0.0)
    return min(1.0, 2 * _sum_at_most(n, min(below, above))) if n else 1.0


def widened(found: Interval, effective_blocks: float, most: float = math.inf) -> Interval:
    """The interval widened for so many effective blocks: by the square root of the loss and by Student's quantiles, up
    to `most`."""
    if found.n < FEWEST_PAIRS or effective_blocks >= found.n:
        return found
    factor = math.sqrt(found.n / effective_blocks) * _quantile(SIGNIFICANCE, effective_blocks)
    factor /= _quantile(SIGNIFICANCE, found.n)
    down, up = (max(min(factor * half, most), half) for half in (found.centre - found.low, found.high - found.centre))
    return found._replace(low=found.centre - down, high=found.centre + up)


def most(differences: np.ndarray, centre: float, correlated: float) -> float:
    """The upper limit of an interval's half-width at 95 %, if the correlation of neighbouring blocks is at most
    this."""
    farthest = float(np.max(np.abs(np.asarray(differences, dtype=np.float64) - centre), initial=0.0))
    share = min(max(correlated, 0.0), MOST_EXPECTED)
    times = _FARTHEST * math.pow((1 + share) / (1 - share), _CORRELATED_POWER)
    return times / math.pow(max(len(differences), 1), _FARTHEST_POWER) * farthest


def reach(differences: np.ndarray, found: Interval, effective_blocks: float, most: float = math.inf) -> Reach:
    """The half-widths from which stretching starts. With discrete values one side of a rank interval can be narrow by
    chance: so neither is less than a third of the other, nor less than the usual deviation gives."""
    deviations = np.sort(np.abs(np.asarray(differences, dtype=np.float64) - found.centre))
    if not len(deviations):
        return Reach(math.nan, math.nan, effective_blocks)
    usual = 1.25 * float(deviations[: math.ceil(_TRIMMED * len(deviations))].mean())
    floor = usual * _quantile(SIGNIFICANCE, effective_blocks) / math.sqrt(effective_blocks)
    limit = max(most, found.centre - found.low, found.high - found.centre)
    limit = limit if effective_blocks < len(deviations) else math.inf
    down, up = found.centre - found.low, found.high - found.centre
    down, up = max(down, up / 3, min(floor, limit)), max(up, down / 3, min(floor, limit))
    return Reach(down, up, effective_blocks, limit, 2 + len(deviations) / 3)


def stretched(found: Interval, wide: Reach, level: float) -> Interval:
    """The interval that is wrong with a probability of `level` (two-sided); never narrower than the one given."""
    factor = stretch(level, wide.effective)
    if factor == 1.0:
        return found
    most = wide.most_at(level)
    low, high = found.centre - min(factor * wide.down, most), found.centre + min(factor * wide.up, most)
    return found._replace(low=min(low, found.low), high=max(high, found.high), confidence=1 - level)


def stretch(level: float, effective_blocks: float) -> float:
    """The factor by which an interval at this level is wider than at 95 %."""
    return max(1.0, _quantile(level, effective_blocks) / _quantile(SIGNIFICANCE, effective_blocks))


def p_beyond(found: Interval, wide: Reach, edge: float) -> float:
    """The level at which the stretched interval touches `edge` (on the side of its centre): the p of the claim that the
    centre lies farther from zero. 1 if it does not; NaN for fewer than six pairs."""
    if found.n < FEWEST_PAIRS:
        return math.nan
    distance, near = abs(found.centre) - edge, wide.down if found.centre > 0 else wide.up
    if distance <= 0:
        return 1.0
    if near == 0:
        return 0.0
    times = distance / near * _quantile(SIGNIFICANCE, wide.effective)
    p = 2 * student_tail(times, _freedom(wide.effective))
    return min(1.0, p, wide.level_of_most(distance))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979); NaNs stay NaN and do not count."""
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p_values), np.nan)
    valid = np.flatnonzero(~np.isnan(p_values))
    order = valid[np.argsort(p_values[valid], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors)) if len(order) else []
    return adjusted


def holm_level(p_values: np.ndarray, significance: float = SIGNIFICANCE) -> float:
    """The level at which intervals agree with Holm's adjustment: the claims that it accepts hold at this level, and the
    next one does not."""
    adjusted = holm(p_values)
    return significance / max(1, int(np.sum(adjusted > significance)))


def pair(
    blocks: np.ndarray, values: np.ndarray, other_blocks: np.ndarray, other_values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values of both in the blocks that both have."""
    if len(blocks) == len(other_blocks) and np.array_equal(blocks, other_blocks):
        return values, other_values
    _, mine, theirs = np.intersect1d(blocks, other_blocks, return_indices=True)
    return values[mine], other_values[theirs]


def log_ratios(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The logarithms of paired ratios; empty if any value is zero or less, since the rest would be misleading."""
    if len(mine) and min(mine.min(), theirs.min()) <= 0:
        return np.array([])
    return np.asarray(np.log(mine) - np.log(theirs))


@cache
def _quantile(level: float, blocks: float) -> float:
    """Student's two-sided quantile for `level`."""
    return student_quantile(level, _freedom(blocks))


def _freedom(blocks: float) -> float:
    """One degree less for the centre, and one for the autocorrelation, which few blocks cannot estimate."""
    return max(blocks - 2, 1.0)


@cache
def _sums(n: int) -> np.ndarray:
    """P(W <= w) of the sum of signed ranks, for every w."""
    counts = np.ones(1)
    for rank in range(1, n + 1):  # the number of ways to reach each sum
        counts = np.concatenate([counts, np.zeros(rank)]) + np.concatenate([np.zeros(rank), counts])
    return np.asarray(np.cumsum(counts) / 2.0**n)


def _sum_at_most(n: int, place: int) -> float:
    if n <= _MOST_EXACT:
        return float(_sums(n)[place])
    mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return NORMAL.cdf((place + 1 - mean) / deviation)


@cache
def _rank(n: int) -> tuple[int, float]:
    """The rank of the average, from either end, that bounds the interval, and its coverage."""
    if n > _MOST_EXACT:
        mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(1, math.floor(mean - NORMAL.inv_cdf((1 + CONFIDENCE) / 2) * deviation)), CONFIDENCE
    below = _sums(n)
    place = int(np.searchsorted(below, (1 - CONFIDENCE) / 2, side="right"))  # P(W <= place - 1) <= 2.5 %
    return max(1, place), 1 - 2 * float(below[place - 1])


def _at_most(ordered: np.ndarray, limit: float) -> int:
    """How many averages of two values (or of one with itself) are at most `limit`; the values ascend."""
    return _count(_partners(ordered, limit))


@lru_cache(maxsize=20)
def _pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of all pairs of `n` values, and of each with itself. A run has dozens of series of one length."""
    first, second = np.triu_indices(n)
    return first, second


def _averages(ordered: np.ndarray, places: list[int]) -> list[float]:
    """The averages at these ranks among all of them, sorted."""
    n = len(ordered)
    if n <= _MOST_LISTED:
        first, second = _pairs(n)
        averages = np.sort((ordered[first] + ordered[second]) / 2)
        return [float(averages[place]) for place in places]
    thin = ordered[np.linspace(0, n - 1, _THIN).round().astype(int)]
    first, second = _pairs(_THIN)
    guesses = np.sort((thin[first] + thin[second]) / 2)
    return [_average_at(ordered, place, guesses) for place in places]


def _average_at(ordered: np.ndarray, place: int, guesses: np.ndarray) -> float:
    """The average at a rank: bisects between guesses that enclose it, until so few averages are left that they can be
    listed."""
    n = len(ordered)
    near, step = place * len(guesses) // (n * (n + 1) // 2), max(1, len(guesses) // 100)
    lower, upper = max(0, near - step), min(len(guesses) - 1, near + step)
    start, end = _partners(ordered, float(guesses[lower])), _partners(ordered, float(guesses[upper]))
    while lower > 0 and _count(start) > place:
        lower = max(0, lower - step)
        start = _partners(ordered, float(guesses[lower]))
    while upper < len(guesses) - 1 and _count(end) <= place:
        upper = min(len(guesses) - 1, upper + step)
        end = _partners(ordered, float(guesses[upper]))
    low, high = float(guesses[lower]), float(guesses[upper])
    if _count(start) > place:  # the very first
        low, start = math.nextafter(float(ordered[0]), -math.inf), np.zeros(n, dtype=np.int64)
    while _count(end) - _count(start) > 2 * n:
        middle = (low + high) / 2
        if middle in (low, high):  # only equal ones
            return high
        found = _partners(ordered, middle)
        if _count(found) > place:
            high, end = middle, found
        else:
            low, start = middle, found
    return _listed(ordered, start, end, place - _count(start))


def _partners(ordered: np.ndarray, limit: float) -> np.ndarray:
    """For each value the number of values (itself included) with which its average is at most `limit`."""
    return np.searchsorted(ordered, 2 * limit - ordered, side="right")


def _count(partners: np.ndarray) -> int:
    """The number of these averages: `partners` counts each pair twice, except a value with itself."""
    return (int(partners.sum()) + int(np.count_nonzero(partners > np.arange(len(partners))))) // 2


def _listed(ordered: np.ndarray, start: np.ndarray, end: np.ndarray, place: int) -> float:
    """The average at a place among those with partners from `start` up to `end`, each pair taken once."""
    start = np.maximum(start, np.arange(len(ordered)))
    counts = np.maximum(end - start, 0)
    firsts = np.repeat(np.arange(len(ordered)), counts)
    seconds = np.arange(len(firsts)) + np.repeat(start - np.cumsum(counts) + counts, counts)
    return float(np.partition((ordered[firsts] + ordered[seconds]) / 2, place)[place])
