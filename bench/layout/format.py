"""Formats numbers and untrusted words as text: three significant digits, one unit each, no control characters."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from isobench.core.text import clean as clean
from isobench.core.text import clip as clip
from isobench.core.text import visible as visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from isobench.analysis.results import Difference, Estimate

MISSING = "–"
"""Placeholder for a missing number."""

_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SIZE = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_ZEROS = re.compile(r"(?:(\.\d*?[1-9])|\.)0+(?!\d)")


def number(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 123, 1230."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    if rounded and math.floor(math.log10(abs(rounded))) > 2 - decimals:  # 9.996 has become 10.00
        decimals -= 1
    return f"{rounded:.{max(decimals, 0)}f}".replace("-", "−")


def quantity(value: float, unit: str) -> str:
    """A cost with its unit: "1.23 ms", "4.50 MiB"; `unit` is "second" or "byte"."""
    if not math.isfinite(value):
        return MISSING
    factor, name = scale(value, unit)
    return f"{number(value / factor)} {name}"


def cost(row: Estimate) -> str:
    """The median of an estimate with its unit."""
    return quantity(row.median, row.unit)


def against(row: Estimate) -> str:
    """The ratio of an estimate to the baseline, with its interval."""
    return ratio_interval(row.ratio, row.ratio_low, row.ratio_high)


def difference(one: Difference) -> str:
    """What one environment costs more than another, with its interval."""
    return signed_interval(one.value, one.low, one.high, one.unit)


def scale(value: float, unit: str) -> tuple[float, str]:
    """The factor and the name of the unit in which `value` reads best."""
    steps = _TIME if unit == "second" else _SIZE
    magnitude = abs(value)
    for factor, name in steps:
        if magnitude >= factor * 0.9995:
            return factor, name
    return steps[-1]


def signed(value: float, unit: str) -> str:
    """A difference, with its sign: "+1.23 ms", "−4 KiB"."""
    text = quantity(value, unit)
    return text if text == MISSING or value <= 0 else f"+{text}"


def signed_interval(value: float, low: float, high: float, unit: str) -> str:
    """A difference and its interval in one unit: "+1.23 [+1.10, +1.40] ms"."""
    if not math.isfinite(value):
        return MISSING
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{signed(value, unit)} [no interval]"
    factor, name = scale(max(map(abs, (value, low, high))), unit)
    parts = [f"+{number(v / factor)}" if v > 0 else number(v / factor) for v in (value, low, high)]
    return f"{parts[0]} [{parts[1]}, {parts[2]}] {name}"


def ratio(value: float) -> str:
    """How many times the baseline: "1.05×"."""
    return MISSING if not math.isfinite(value) else f"{number(value)}×"


def ratio_interval(value: float, low: float, high: float, band: float = 0.05) -> str:
    """A ratio with its interval: "1.05× [1.01, 1.09]"; the ends stay on their side of 1 and of the band's edges."""
    if not math.isfinite(value):
        return MISSING
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{ratio(value)} [no interval]"
    return f"{ratio(value)} [{end(low, band)}, {end(high, band)}]"


def end(value: float, band: float = 0.05) -> str:
    """An end of a ratio's interval, with enough digits to show on which side of 1 and of the band's edges it lies, so
    that the printed interval agrees with the verdict."""

    def side(one: float) -> tuple[bool, ...]:
        return one > 1 + band, one < 1 / (1 + band), one > 1, one < 1

    digits = next((d for d in range(3, 16) if side(_rounded(value, d)) == side(value)), 16)
    return number(value) if digits == 3 else f"{_rounded(value, digits):.{digits}g}"


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def band(width: float) -> str:
    """The band of equivalence: "1/1.05 to 1.05 times"."""
    edge = f"{1 + width:.6g}"
    return f"1/{edge} to {edge} times"


_VERDICTS = {"second": {"slower": "slower", "faster": "faster"}}


def verdict(word: str, unit: str) -> str:
    """A verdict in words: slower or faster for times, more or less for everything else."""
    return _VERDICTS.get(unit, {"slower": "more", "faster": "less"}).get(word, word)


def percent(share: float) -> str:
    """A share as a percentage: 0.05 is "5 %"."""
    return MISSING if not math.isfinite(share) else f"{trimmed(number(share * 100))} %"


def about(share: float) -> str:
    """A share for a sentence, in whole percent: "55 %", "less than 1 %"."""
    return f"{share * 100:.0f} %" if round(abs(share) * 100) >= 1 else "less than 1 %"


def share(part: float) -> str:
    """A signed share in whole percent: "+3 %", "−12 %"."""
    if not math.isfinite(part):
        return MISSING
    if part and round(abs(part) * 100) < 1:
        return "less than ±1 %"
    return f"{part * 100:+.0f} %".replace("-", "−")


def of_blocks(counts: Iterable[int]) -> str:
    """How many blocks numbers come from: "n = 20 blocks.", "n = 6 to 20 blocks."."""
    found = sorted(set(counts))
    if not found:
        return "n = 0 blocks."
    return f"n = {count(found[0], 'block')}." if len(found) == 1 else f"n = {found[0]} to {found[-1]} blocks."


def trimmed(text: str) -> str:
    """A number, with or without a unit, without trailing zeros: "1.00×" is "1×"."""
    return _ZEROS.sub(r"\1", text)


def duration(seconds: float) -> str:
    """A readable duration: "1 h 02 min", "3 min 20 s", "12.3 s"."""
    if seconds < 60:
        return quantity(seconds, "second")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def count(number_of: int, one: str, many: str = "") -> str:
    """ "1 block", "2 blocks"."""
    return f"{number_of} {one if number_of == 1 else many or one + 's'}"


def listing(words: list[str], limit: int = 6) -> str:
    """ "a", "a and b", "a, b and c", "a, b, c and 4 more"."""
    if len(words) > limit:
        words = [*words[: limit - 1], f"{len(words) - limit + 1} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"
