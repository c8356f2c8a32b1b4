"""The axes: range of values, ticks, and labels.

matplotlib is imported in functions: `drawing` has to set it up first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from isobench.layout import format
from isobench.layout.ticks import log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def in_sight(points: Sequence[float], ends: Sequence[float]) -> list[float]:
    """The values that an axis has to show: every point, and intervals as far as they do not dwarf the points."""
    values = [v for v in points if math.isfinite(v)]
    others = [v for v in ends if math.isfinite(v)]
    if not values or min([*values, *others]) <= 0:
        return [*values, *others]
    low, high = min(values) / _FAR, max(values) * _FAR
    return [*values, *(min(max(v, low), high) for v in others)]


_FAR = 10.0
"""How many times beyond the outermost points a drawing shows an interval."""


def log_axis(
    axes: Axes, which: Literal["x", "y"], values: Sequence[float], text: Callable[[float], str], base: float = 10.0
) -> None:
    """A log axis with plain labels at round numbers, as far as there is room; powers of two if `base` is 2.

    If a value is zero or less, the axis is linear.
    """
    good = [v for v in values if math.isfinite(v)]
    axis = axes.xaxis if which == "x" else axes.yaxis
    if not good or min(good) <= 0:
        axis.set_major_formatter(lambda v, _: format.trimmed(text(v)) if v else "0")
        return
    margin = max(1.12, (max(good) / min(good)) ** 0.04)
    low, high = min(good) / margin, max(good) * margin
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(_fixed(log_ticks(low, high, base)))
    axis.set_minor_locator(_fixed([]))
    axis.set_major_formatter(lambda v, _: format.trimmed(text(v)))


def base_of(unit: str) -> float:
    """The base of a log axis of this unit."""
    return 2.0 if unit == "byte" else 10.0


def in_unit(value: float, unit: str) -> str:
    """A value on an axis of this unit."""
    return format.ratio(value) if unit == "ratio" else format.quantity(value, unit)


def _fixed(ticks: list[float]) -> Any:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(ticks)


def whole_numbers(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def dates(axes: Axes, days: Sequence[float]) -> None:
    """At most six dates on the x axis; with the time of day if all lie within three days."""
    from matplotlib.dates import AutoDateLocator

    form = "%Y-%m-%d" if max(days) - min(days) > _FEW_DAYS else "%m-%d %H:%M"
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=2, maxticks=6))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(lambda x, _: f"{datetime.fromtimestamp(x * 86400, UTC):{form}}")


_FEW_DAYS = 3
