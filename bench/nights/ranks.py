"""The Mann-Whitney test of the nights after a point against those before it, for all points of many series at once.

It uses only the signs of differences, so spikes, quantisation and the unit do not matter. The number of comparisons
grows linearly with the nights. The null distribution is exact (Gaussian binomial coefficients): in the far tail, which
decides for a whole family of series, the normal approximation is wrong by orders of magnitude.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import numpy as np

BEFORE = (3, 5, 8, 12, 20, 30, 45, 60)
AFTER = (3, 4, 5, 6, 8, 10, 14, 20, 30)
"""Numbers of nights before and after a point that are compared."""
NORMAL = NormalDist()


@cache
def deviates(before: int, after: int) -> np.ndarray:
    """The standard normal deviate of the one-sided p, indexed by the number of pairs that contradict the order (ties
    count half)."""
    half = before * after // 2 + 1
    counts = np.zeros(half)
    counts[0] = 1.0
    for factor in range(1, after + 1):  # times (1 - q^(before + factor)) / (1 - q^factor)
        shift = before + factor
        if shift < half:
            counts[shift:] -= counts[:-shift].copy()
        for rest in range(factor):
            counts[rest::factor] = np.cumsum(counts[rest::factor])
    shares = np.cumsum(np.maximum(counts, 0)) / math.comb(before + after, after)
    found = np.zeros(before * after + 1)
    found[:half] = [-NORMAL.inv_cdf(min(max(float(share), 1e-300), 0.5)) for share in shares]
    return found


@cache
def largest() -> np.ndarray:
    """The most extreme possible deviate, by nights before (rows) and after (columns)."""
    return np.array([[deviates(m, k)[0] for k in AFTER] for m in BEFORE])


def scan(rows: np.ndarray) -> np.ndarray:
    """Deviates by [before, after, series, last night]: positive if the last nights are higher, 0 if there are too
    few."""
    series, nights = rows.shape
    found = np.zeros((len(BEFORE), len(AFTER), series, nights), np.float32)
    sums = np.zeros((AFTER[-1], series, nights), np.int16)
    """Cumulative wins less losses against the nights before the point, by number of new nights."""
    signs: dict[int, np.ndarray] = {}
    for back in range(1, min(BEFORE[-1], nights - AFTER[0]) + 1):
        for ahead in range(min(AFTER[-1], nights - back)):
            lag = back + ahead
            if lag not in signs:
                later, earlier = rows[:, lag:], rows[:, :-lag]
                signs[lag] = (later > earlier).view(np.int8) - (later < earlier).view(np.int8)
            sums[ahead, :, back : nights - ahead] += signs[lag]
        signs.pop(back, None)
        if back in BEFORE:
            _collect(found[BEFORE.index(back)], sums, back)
    return found


def _collect(found: np.ndarray, sums: np.ndarray, before: int) -> None:
    nights = sums.shape[2]
    total = np.zeros(sums.shape[1:], np.int16)
    done = 0
    for place, after in enumerate(AFTER):
        if nights - after + 1 <= before:
            return
        for ahead in range(done, after):
            total[:, : nights - ahead] += sums[ahead, :, : nights - ahead]
        done = after
        balance = total[:, before : nights - after + 1]
        contradicting = (before * after - np.abs(balance) + 1) >> 1
        found[place, :, before + after - 1 :] = np.sign(balance) * deviates(before, after)[contradicting]
