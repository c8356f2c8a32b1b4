"""The ticks of an axis: round numbers, few enough to be readable."""

from __future__ import annotations

import math

APART = 0.16
"""The least distance between two ticks, as a share of the axis, so that "250 µs" fits on a small one."""


def log_ticks(low: float, high: float, base: float = 10.0) -> list[float]:
    """Ticks of a log axis between two positive numbers; powers of two where `base` is 2."""
    ticks = _decimal(low, high) if base == 10 else _binary(low, high)
    if len(ticks) >= 3:
        return ticks
    return max(ticks, _apart(even_ticks(low, high, base), APART * math.log(high / low)), key=len)


def even_ticks(low: float, high: float, base: float = 10.0) -> list[float]:
    """Round numbers at even distances, for a range too short for powers: 300, 400, 500 µs. Bytes are round in KiB …"""
    one = 1.0 if base == 10 else 2.0 ** (10 * math.floor((math.log2(low) + math.log2(high)) / 20))
    low, high = low / one, high / one
    most = (high - low) / 3 * (1 + 1e-9)  # a third of 0.3 is a little less than a tenth, its logarithm is not
    decade = 10.0 ** math.floor(math.log10(most))
    step = max(m * decade for m in (1, 2, 2.5, 5) if m * decade <= most)
    return [i * step * one for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _apart(ticks: list[float], distance: float) -> list[float]:
    """The ticks with a distance of at least `distance`, in logarithms: even ticks crowd on the right."""
    kept = ticks[:1]
    for tick in ticks[1:]:
        if math.log(tick / kept[-1]) >= distance:
            kept.append(tick)
    return kept


def _decimal(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**d for d in decades for m in mantissas if low <= m * 10.0**d <= high]
        if len(ticks) <= 6:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 6)]


def _binary(low: float, high: float) -> list[float]:
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    step = next((step for step in (1, 2, 5, 10, 20, 40) if len(powers) / step <= 5), -(-len(powers) // 5))
    return [2.0**power for power in powers if power % step == 0]
