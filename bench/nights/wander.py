"""Movement in a series without a step: autocorrelated nights, levels that wander, noise that grows.

Sixty nights of one series do not determine any of these well, but a family of series on one host does. Its mean and the
true variance between its series tell how far to trust the estimate of a single one (empirical Bayes). Everything that
is used for a night was known on that night, so a later query does not change what was reported.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.nights.ranks import AFTER, BEFORE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHECKPOINTS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Nights on which the family is estimated anew."""
_REACH = 90
"""Nights that an estimate goes back."""
_ON_ITS_WAY = 10
"""The last nights before an estimate, in which the movement common to all series is removed: a current step of the
whole host must not count as wandering."""
_LEAST_MEMORY, _LEAST_WALK = 0.02, 0.0004
"""Lower limits for every series: correlation of neighbours, and variance of a night's wandering as a share of the
noise's."""
_CAUTION, _WALK_CAUTION = 1.0, 1.0
"""Standard errors that are added to the correlation and the wandering of a single series."""
ENOUGH = 30
"""The fewest series of a family: with fewer, wandering cannot be distinguished from a step in progress."""
_WALKS = 1e-5
"""True variance of wandering over series, before any is known."""
_MOST = 0.97
_JUMP = 3.0
"""Medians of five neighbouring nights that differ by more than this many standard deviations are a step, not
wandering."""
_WILD = 3.4
"""A difference of neighbouring nights of this many times the series's usual one counts as wild."""
_LATELY, _MOVES = 7, 2
"""Nights that are examined, of which those with the most wild differences do not count."""
_SIGNAL = 2.0
"""Noise grows if the family has so many standard errors more wild differences than before."""
_STAYS = 40
"""For so many nights the noise then does not count as steady: until the nights before include the new noise."""
_LEARN, _BASIS = 16, 60
"""The least and the most nights from which the usual differences are estimated."""
STEP = 8
"""Nights between two estimates of the usual differences."""


class Family(NamedTuple):
    """A family's knowledge about its series: by checkpoint the (mean, true variance) of correlation and of wandering,
    and by number of nights whether the noise is not steady."""

    size: int
    known: dict[int, tuple[float, float, float, float]]
    unsteady: np.ndarray


def family(rows: Sequence[np.ndarray]) -> Family:
    known = {}
    for checkpoint in CHECKPOINTS:
        parts = [row[max(0, checkpoint - _REACH) : checkpoint] for row in rows if len(row) >= checkpoint]
        if not parts:
            break
        raw = [_raw(_without_jumps(part)) for part in _apart(parts)]
        nights = len(parts[0])
        memory = _pooled([one[0] for one in raw], 1 / nights, 0.1, 0.04)
        known[checkpoint] = (*memory, *_pooled([one[1] for one in raw], _walk_error(nights) ** 2, 0.0, _WALKS))
    return Family(len(rows), known, _unsteady(rows))


def _apart(parts: list[np.ndarray]) -> Iterable[np.ndarray]:
    """Series of one length, without the movement that most of them share in the last nights, in units of their own
    noise."""
    if len(parts) < ENOUGH:
        return parts
    rows = np.array(parts)
    distances = rows - np.median(rows, axis=1, keepdims=True)
    widths = np.median(np.abs(distances), axis=1, keepdims=True)
    noisy = widths[:, 0] > 0
    if noisy.any():
        shared = np.median(distances[noisy, -_ON_ITS_WAY:] / widths[noisy], axis=0)
        rows[:, -_ON_ITS_WAY:] -= widths * shared
    return rows


def inflation(residuals: np.ndarray, family: Family, night: int) -> np.ndarray:
    """By [before, after]: the factor by which two means of so many nights differ more than those of independent
    nights."""
    known = [one for checkpoint, one in family.known.items() if checkpoint <= night]
    memory, memory_spread, walk, walk_spread = known[-1] if known else (0.2, 0.05, 0.0, _WALKS)
    nights = max(len(residuals), 1)
    own_memory, own_walk = _raw(residuals)
    error = 1 / nights
    trust = memory_spread / (memory_spread + error)
    memory += trust * (own_memory - memory) + _CAUTION * math.sqrt(trust * error)
    error = _walk_error(nights) ** 2
    trust = walk_spread / (walk_spread + error) if nights >= 12 else 0.0
    caution = _WALK_CAUTION * min(1.0, family.size / ENOUGH)
    walk += trust * (own_walk - walk) + caution * math.sqrt(trust * error)
    return _inflation(round(min(max(memory, _LEAST_MEMORY), _MOST) * 50), round(min(max(walk, _LEAST_WALK), 1.0) * 1e3))


def _raw(residuals: np.ndarray) -> tuple[float, float]:
    """Correlation of neighbours, and the variance of a night's wandering relative to that of the noise, corrected for
    bias."""
    nights = len(residuals)
    if nights < 6:
        return 0.0, 0.0
    width = float(np.median(np.abs(residuals))) * 1.4826 or float(np.mean(np.abs(residuals)))
    clipped = np.clip(residuals, -3 * width, 3 * width)
    clipped = clipped - clipped.mean()
    total = float(clipped @ clipped)
    if total == 0:
        return 0.0, 0.0
    neighbours = float(clipped[1:] @ clipped[:-1]) / total
    memory = neighbours + (1 + 3 * max(neighbours, 0)) / nights
    if nights < 12:
        return memory, 0.0
    size = max(4, nights // 6)
    count = nights // size
    means = clipped[nights - size * count :].reshape(count, size).mean(axis=1)
    ratio = size * float(np.var(means)) * count / (count - 1) * nights / total
    return memory, (ratio - _variance(size, round(min(max(memory, 0.0), _MOST), 2))) / (size * nights / 6)


def _walk_error(nights: int) -> float:
    size = max(4, nights // 6)
    return math.sqrt(2 / (nights // size - 1)) / (size * nights / 6) if nights >= 12 else 1.0


def _pooled(values: list[float], error: float, mean: float, spread: float) -> tuple[float, float]:
    """Mean and true variance of a family whose members are known with this error (a variance); three artificial members
    represent the prior."""
    found = np.array(values)
    apart = float(np.sum((found - found.mean()) ** 2)) + 3 * (spread + error)
    return (float(found.sum()) + 3 * mean) / (len(found) + 3), max(apart / (len(found) + 3) - error, 0.0)


def _without_jumps(row: np.ndarray) -> np.ndarray:
    """A series without its obvious steps, around zero: a step of the whole host must not count as wandering."""
    if len(row) < 10:
        return np.asarray(row - np.median(row))
    medians = np.median(np.lib.stride_tricks.sliding_window_view(row, 5), axis=1)
    jumps = medians[5:] - medians[:-5]  # at night 5 + index
    least = _JUMP * float(np.mean(np.abs(np.diff(row)))) / 1.128
    found, begin = [], 0
    while len(jumps) and least > 0 and abs(jumps[(place := int(np.argmax(np.abs(jumps))))]) > least:
        found.append(place + 5)
        jumps[max(0, place - 5) : place + 6] = 0
    row = row.copy()
    for end in [*sorted(found), len(row)]:
        row[begin:end] -= np.median(row[begin:end])
        begin = end
    return row


def _unsteady(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Whether the noise of many series has grown recently, by number of nights: wild differences of neighbouring nights
    are counted over the family. A step of all series makes only one such night, or two with its reversal."""
    lengths = np.array([len(row) for row in rows])
    most = int(lengths.max(initial=0))
    unsteady = np.zeros(most + 1, bool)
    apart = np.full((len(rows), most), np.nan)
    for row, differences in zip(rows, apart, strict=True):
        differences[1 : len(row)] = np.abs(np.diff(row))
    counts = np.zeros(most)
    for begin in range(_LEARN, most, STEP):
        known = apart[lengths >= begin, max(1, begin - _BASIS) : begin]
        middle, mean = np.median(known, axis=1), known.mean(axis=1)
        usual = np.where(middle > 0, middle, np.where(mean > 0, mean, np.inf))
        wild = apart[lengths >= begin, begin : begin + STEP] > _WILD * usual[:, None]
        counts[begin : begin + STEP] = wild.sum(axis=0)
    for night in range(2 * _LEARN + _LATELY, most + 1):
        lately = np.sort(counts[night - _LATELY : night])[:-_MOVES]
        before = counts[max(_LEARN, night - _LATELY - _BASIS) : night - _LATELY]
        error = max(float(before.std()), math.sqrt(float(before.mean()) + 1)) / math.sqrt(len(lately))
        if lately.mean() > before.mean() + _SIGNAL * error:
            unsteady[night : night + _STAYS] = True
    return unsteady


def _variance(nights: int, memory: float) -> float:
    """The variance of a mean of correlated nights relative to that of independent ones."""
    lags = np.arange(1, nights)
    return float(1 + 2 * np.sum((1 - lags / nights) * memory**lags))


@lru_cache(maxsize=10_000)
def _inflation(fiftieths: int, thousandths: int) -> np.ndarray:
    memory, walk = fiftieths / 50, thousandths / 1000
    own = [[_variance(m, memory) / m + _variance(k, memory) / k + walk * (m + k) / 3 for k in AFTER] for m in BEFORE]
    alone = [[1 / m + 1 / k for k in AFTER] for m in BEFORE]
    return np.asarray(np.sqrt(np.maximum(np.array(own) / np.array(alone), 1.0)))
