"""One cost over the nights as a hand-written SVG, which takes a thousandth of matplotlib's time.

Colours are classes of the page's stylesheet, so a dark page has a dark drawing. One step to the right is one night, so
that a clock that was wrong once does not compress all others. `data-` attributes tell the script, which draws the same
with uPlot, what the page's table of numbers does not have (`charts.js`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from markupsafe import escape

from isobench.layout import format
from isobench.layout.ticks import log_ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from isobench.site.machine import Course, Level

WIDTH, HEIGHT = 920, 206
LEFT, RIGHT, TOP, BOTTOM = 66, 908, 32, 182
"""Edges of the plot."""
_LEAST_RANGE = 1.05
"""An axis extends at least by this factor up and down from the middle, so that noise of 1 % does not look large."""
_DATES = 6
_MARGIN = 8
"""Distance from the edges to the first and last night."""
_MANY = 250
"""Dots and bars are thinner from so many nights on."""
_DIGIT = 8
"""Width of a digit."""
_LEAST_STEP = {"byte": 4096.0, "second": 1e-9}
"""Margin around values of zero: a page, a nanosecond."""
_FAR = 1e20
"""Bounds of measured values and ratios; a damaged file may exceed them."""


class Mark(NamedTuple):
    """A change: a dashed line with its number, or, of the host's software, a dotted one."""

    night: int
    number: int
    words: str
    """What changed, for who points at the line."""
    software: bool = False


class Scale(NamedTuple):
    """A vertical axis, logarithmic or linear, and the nights across."""

    low: float
    high: float
    log: bool
    nights: int

    def x(self, night: float) -> float:
        return LEFT + _MARGIN + (RIGHT - LEFT - 2 * _MARGIN) * (night / (self.nights - 1) if self.nights > 1 else 0.5)

    def xs(self, nights: Sequence[int] | np.ndarray) -> np.ndarray:
        """The same for many."""
        if self.nights < 2:
            return np.full(len(nights), self.x(0))
        return LEFT + _MARGIN + (RIGHT - LEFT - 2 * _MARGIN) * (np.array(nights) / (self.nights - 1))

    def y(self, number: float) -> float:
        """The position of a number, clipped at the frame."""
        return float(self.ys([number])[0])

    def ys(self, numbers: Sequence[float] | np.ndarray) -> np.ndarray:
        low, high, at = (
            np.log(one) if self.log else one
            for one in (self.low, self.high, np.clip(np.array(numbers), self.low, self.high))
        )
        return np.asarray(BOTTOM - (BOTTOM - TOP) * (at - low) / (high - low))


def draw(
    course: Course,
    starts: Sequence[str],
    marks: Sequence[Mark],
    interval: tuple[float, float] | None,
    words: str,
    factor: float = 1.0,
) -> str:
    """The drawing; `words` are its alternative text. `interval` is that of the last night; `factor` is the unit of the
    page's table."""
    scale = _scale(course, len(starts))
    many = " many" if len(course.nights) > _MANY else ""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}">',
        *_axes(course, scale, starts),
        *_marks(marks, scale),
        f'<path class="bars{many}" d="{_bars(course, scale)}"/>' if course.lows else "",
        f'<path class="dots{many}" d="{_dots(course, scale)}"/>',
        _interval(scale, interval),
        *(_level(one, scale, factor) for one in course.levels),
        "</svg>",
    ]
    return "".join(parts)


def _scale(course: Course, nights: int) -> Scale:
    """From the values and nine in ten of the intervals' ends, so that a very wide interval does not flatten all others;
    it is clipped. With values of zero or less the axis is linear."""
    low, high = (min(max(number, -_FAR), _FAR) for number in (min(course.numbers), max(course.numbers)))
    below, above = _most(course.lows, 0.1, low), _most(course.highs, 0.9, high)
    low = min(low, below) if below > 0 or low <= 0 else low
    high = max(high, above)
    if low <= 0:
        room = max((high - low) * 0.1, -low * 0.05, _LEAST_STEP.get(course.unit, 1.0))
        return Scale(low - room, high + room, False, nights)
    low, high = max(low, 1 / _FAR), max(high, 1 / _FAR)
    middle = math.sqrt(low) * math.sqrt(high)
    low, high = min(low, middle / _LEAST_RANGE), max(high, middle * _LEAST_RANGE)
    room = (high / low) ** 0.04
    return Scale(low / room, high * room, True, nights)


def _most(ends: Sequence[float], share: float, otherwise: float) -> float:
    """A quantile of the known ends of intervals; between two, the one nearer to their middle."""
    known = np.sort([one for one in ends if math.isfinite(one)])
    if not len(known):
        return otherwise
    at = share * (len(known) - 1)
    return min(max(float(known[math.ceil(at) if share < 0.5 else math.floor(at)]), -_FAR), _FAR)


def _ticks(scale: Scale, unit: str) -> list[float]:
    if scale.log:
        return log_ticks(scale.low, scale.high, 2.0 if unit == "byte" else 10.0)
    across = scale.high - scale.low
    decade = 10.0 ** math.floor(math.log10(across / 2))
    step = next(step for step in (decade, 2 * decade, 5 * decade) if across / step <= 5)
    if unit == "byte":
        step = 2.0 ** math.ceil(math.log2(across / 5))
    return [n * step for n in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1)]


def _axes(course: Course, scale: Scale, starts: Sequence[str]) -> Iterable[str]:
    for tick in _ticks(scale, course.unit):
        y = f"{scale.y(tick):.1f}"
        text = format.trimmed(format.quantity(tick, course.unit) if course.unit else format.ratio(tick))
        yield f'<path class="grid" d="M{LEFT} {y}H{RIGHT}"/><text class="tick" x="{LEFT - 6}" y="{y}">{text}</text>'
    yield f'<g class="dates">{"".join(_dates(scale, starts))}</g>'


def _dates(scale: Scale, starts: Sequence[str]) -> Iterable[str]:
    last = len(starts) - 1
    count = min(_DATES, last + 1)
    for night in sorted({round(n * last / max(count - 1, 1)) for n in range(count)}):
        x = f"{scale.x(night):.1f}"
        end = f' text-anchor="end" dx="{WIDTH - RIGHT}"' if night == last and last else ""
        yield f'<path class="grid" d="M{x} {BOTTOM}v5"/>'
        yield f'<text class="date" x="{x}" y="{BOTTOM + 19}"{end}>{escape(starts[night][:10])}</text>'


def _dots(course: Course, scale: Scale) -> str:
    """Each night is a stroke of zero length, whose round caps make the dot; relative coordinates are the shortest."""
    down = np.rint(scale.ys(course.numbers)).astype(int)
    right = np.rint(scale.xs(course.nights)).astype(int)
    moves = zip(np.diff(right, prepend=0).tolist(), np.diff(down, prepend=0).tolist(), strict=True)
    return "".join([f"m{x} {y}h0" for x, y in moves])


def _bars(course: Course, scale: Scale) -> str:
    """Each night's interval, if it has one, as a stroke from its low to its high end."""
    lows, highs = np.array(course.lows), np.array(course.highs)
    known = ~(np.isnan(lows) | np.isnan(highs))
    low, high = (np.rint(scale.ys(ends[known])).astype(int) for ends in (lows, highs))
    right = np.rint(scale.xs(np.array(course.nights)[known])).astype(int)
    down = low - np.append(0, high)[:-1]
    moves = zip(np.diff(right, prepend=0).tolist(), down.tolist(), (high - low).tolist(), strict=True)
    return "".join([f"m{x} {y}v{up}" for x, y, up in moves])


def _level(level: Level, scale: Scale, factor: float) -> str:
    data = f'data-first="{level.first}" data-last="{level.last}" data-number="{level.number / factor:.6g}"'
    left, right = _edge(scale, level.first, -0.5), _edge(scale, level.last, 0.5)
    return f'<path class="level" {data} d="M{left} {scale.y(level.number):.1f}H{right}"/>'


def _edge(scale: Scale, night: int, more: float) -> str:
    return f"{min(max(scale.x(night + more), LEFT), RIGHT):.1f}"


def _marks(marks: Iterable[Mark], scale: Scale) -> Iterable[str]:
    """A line before the first night at the new level, with its number above; numbers that would overlap are raised."""
    nights: dict[int, list[Mark]] = {}
    for mark in marks:
        nights.setdefault(mark.night, []).append(mark)
    end, high = 0.0, False
    for night, here in sorted(nights.items()):
        x = max(scale.x(night - 0.5), LEFT)
        for mark in here:
            kind = "software" if mark.software else "change"
            yield f'<path class="{kind}" data-night="{night}" d="M{x:.1f} {TOP}V{BOTTOM}">'
            yield f"<title>{mark.number}: {escape(mark.words)}</title></path>"
        numbers = ", ".join(str(mark.number) for mark in here)
        half = _DIGIT * len(numbers) / 2
        high = x - half < end and not high
        end = x + half
        y = TOP - (19 if high else 6)
        yield f'<text class="number" x="{x:.1f}" y="{y}">{numbers}</text>'


def _interval(scale: Scale, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    night = scale.nights - 1
    low, high = scale.ys(interval)
    ends = f'data-night="{night}" data-low="{interval[0]:.6g}" data-high="{interval[1]:.6g}"'
    return f'<path class="interval" {ends} d="M{scale.x(night):.1f} {low:.1f}V{high:.1f}"/>'
