"""The paired estimate: the centre of per-block differences and its 95 % interval.

The centre is the Hodges-Lehmann estimate (the median of all averages of two values) and the interval inverts the
Wilcoxon signed-rank test: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods (2013), sections 3.2 and 3.3.
It is exact for symmetric differences at any size from six pairs on; fewer cannot reach 95 %, and say so.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEWEST_PAIRS = 6
"""With five pairs the widest possible interval holds 93.75 %."""
FEWEST_FOR_RANKS = 16
"""Pairs at which the smallest p of ranks, 3e-5, survives a correction for a thousand comparisons."""
_MOST_FOR_WALSH = 600
"""Above this many pairs the median and its order-statistic interval do as well, without a quadratic cost."""
_MOST_EXACT = 60


class Interval(NamedTuple):
    """A centre and its interval. `confidence` is what the interval really holds (1 at most; 0.95 or a little more)."""

    centre: float
    low: float
    high: float
    confidence: float
    n: int


def interval(differences: np.ndarray) -> Interval:
    """The centre of paired differences (any unit) and its 95 % interval. NaNs are not allowed; none gives NaNs."""
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0.0, 0)
    if n > _MOST_FOR_WALSH:
        return _median_interval(values)
    first, second = np.triu_indices(n)
    averages = np.sort((values[first] + values[second]) / 2)
    centre = float(np.median(averages))
    if n < FEWEST_PAIRS:
        return Interval(centre, float(averages[0]), float(averages[-1]), 1 - 2 * 0.5**n, n)
    rank, confidence = _rank(n)
    return Interval(centre, float(averages[rank - 1]), float(averages[len(averages) - rank]), confidence, n)


def p_value(differences: np.ndarray) -> float:
    """The two-sided test that the differences are centred at zero; 1.0 where all are zero.

    Wilcoxon's signed-rank test, as the interval is, from `FEWEST_FOR_RANKS` pairs on; the t-test below, where the
    smallest p of ranks (0.03 at six pairs) would survive no correction for many comparisons, however large the effect.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or not np.any(values):
        return 1.0
    if np.ptp(values) == 0:
        return 0.0
    if len(values) >= FEWEST_FOR_RANKS:
        return float(stats.wilcoxon(values).pvalue)
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979); NaNs stay NaN and do not count."""
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p_values), np.nan)
    valid = np.flatnonzero(~np.isnan(p_values))
    order = valid[np.argsort(p_values[valid], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors)) if len(order) else []
    return adjusted


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """The step-up adjustment for the false discovery rate, for a nightly grid."""
    return np.asarray(stats.false_discovery_control(np.asarray(p_values, dtype=np.float64)), dtype=np.float64)


def pair(
    blocks: np.ndarray, values: np.ndarray, other_blocks: np.ndarray, other_values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values of both in the blocks that both have."""
    if len(blocks) == len(other_blocks) and np.array_equal(blocks, other_blocks):
        return values, other_values
    _, mine, theirs = np.intersect1d(blocks, other_blocks, return_indices=True)
    return values[mine], other_values[theirs]


def log_ratios(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The logarithms of paired ratios; none at all where a value is zero or less, as the rest would mislead."""
    if len(mine) and min(mine.min(), theirs.min()) <= 0:
        return np.array([])
    return np.asarray(np.log(mine) - np.log(theirs))


@cache
def _rank(n: int) -> tuple[int, float]:
    """Which average from either end bounds the interval, and what that holds."""
    if n > _MOST_EXACT:
        mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(1, math.floor(mean - stats.norm.ppf((1 + CONFIDENCE) / 2) * deviation)), CONFIDENCE
    counts = np.ones(1)
    for rank in range(1, n + 1):  # the number of ways to reach each sum of signed ranks
        counts = np.concatenate([counts, np.zeros(rank)]) + np.concatenate([np.zeros(rank), counts])
    below = np.cumsum(counts) / 2.0**n
    place = int(np.searchsorted(below, (1 - CONFIDENCE) / 2, side="right"))  # P(W <= place - 1) <= 2.5 %
    return max(1, place), 1 - 2 * float(below[place - 1])


def _median_interval(values: np.ndarray) -> Interval:
    ordered = np.sort(values)
    n = len(ordered)
    reach = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(n) / 2
    low, high = math.floor(n / 2 - reach), math.ceil(n / 2 + reach) - 1
    return Interval(float(np.median(ordered)), float(ordered[low]), float(ordered[high]), CONFIDENCE, n)
