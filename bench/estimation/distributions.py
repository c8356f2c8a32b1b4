"""Student's and the other few distributions that verdicts need: importing scipy.special takes longer than a comparison.

Scalars only. The tests compare each with scipy over the whole range of its use.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

NORMAL = NormalDist()
_TINY = 1e-300
_PRECISION = 1e-15


def student_tail(t: float, freedom: float) -> float:
    """P(T > t) of Student's distribution, for t of zero or more. `freedom` is above zero, and need not be whole."""
    if t <= 0:
        return 0.5
    return _beta(freedom / (freedom + t * t), t * t / (freedom + t * t), freedom / 2, 0.5) / 2


@lru_cache(maxsize=10_000)
def student_quantile(outside: float, freedom: float) -> float:
    """The t for which this probability, above 0, lies outside ±t; 0 for a probability of 1."""
    tail = outside / 2
    if tail >= 0.5:
        return 0.0
    goal = math.log(tail)
    place = math.log(max(-NORMAL.inv_cdf(tail), 1e-8))
    for _ in range(100):  # the tail's logarithm is concave in that of t, so that Newton's steps cannot lead astray
        t = math.exp(min(place, 300.0))
        found = max(student_tail(t, freedom), _TINY)
        slope = -t * math.exp(_log_density(t, freedom)) / found
        step = (math.log(found) - goal) / slope
        place -= step
        if abs(step) < 1e-13:
            break
    return math.exp(min(place, 300.0))


def chi_square_median(freedom: float) -> float:
    """The median of the chi-squared distribution, to within 1 % (Wilson and Hilferty, PNAS 17, 1931)."""
    return freedom * (1 - 2 / (9 * freedom)) ** 3


def binomial_tail(hits: int, trials: int, chance: float) -> float:
    """The probability of so many hits or more."""
    logs = math.log(chance), math.log1p(-chance)  # a power by itself can be too small for a number
    return math.fsum(
        math.exp(math.log(math.comb(trials, k)) + k * logs[0] + (trials - k) * logs[1]) for k in range(hits, trials + 1)
    )


def _log_density(t: float, freedom: float) -> float:
    norm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    return norm - (freedom + 1) / 2 * math.log1p(t * t / freedom)


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), 0 < x < 1; `rest` is 1 - x, known better than by subtraction.

    By its continued fraction (Abramowitz and Stegun 26.5.8) where that converges fast, else by the other side's.
    """
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(rest, x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(front) / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """Modified Lentz: Press and others, Numerical Recipes, sections 5.2 and 6.4."""
    upper = 1.0
    value = lower = 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    for term in range(2, 100_000):
        m = term // 2
        if term % 2:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        upper = 1 + factor / upper or _TINY
        lower = 1 / (1 + factor * lower or _TINY)
        value *= upper * lower
        if abs(upper * lower - 1) < _PRECISION:
            break
    return value
