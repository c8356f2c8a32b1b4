"""Values over something: their distribution, their course, their history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format
from isobench.layout.palette import FAINT, GRID, PAPER
from isobench.report.charts.drawing import Drawn, empty, on_demand, svg
from isobench.report.charts.marks import colour_of, legend, marker_of, short
from isobench.report.charts.scales import base_of, dates, in_sight, in_unit, log_axis, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Series(NamedTuple):
    """One line or cloud of points. `low` and `high` are error bars or empty; `fit` is (slope, intercept) or None."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    fit: tuple[float, float] | None = None


class Change(NamedTuple):
    """Something that changed at `x`, with the number that it has in the table of changes."""

    x: float
    label: str


@on_demand
def ecdf(series: Sequence[Series], unit: str) -> Drawn:
    """What share of the samples is at or below a value, on a log axis. `y` is left empty."""
    figure, axes = empty(3.5)
    for line in series:
        x = sorted(line.x)
        y = [(i + 1) / len(x) for i in range(len(x))]
        axes.step([x[0], *x], [0, *y], where="post", color=colour_of(line.style), linewidth=1.5)
        middle = (len(x) - 1) // 2
        axes.plot([x[middle]], [y[middle]], marker_of(line.style), color=colour_of(line.style), markersize=6,
                  markeredgecolor=PAPER, linestyle="-", label=short(line.label))  # fmt: skip
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel("share of samples")
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    log_axis(axes, "x", [v for line in series for v in line.x], lambda v: format.quantity(v, unit))
    legend(axes)
    return svg(figure)


@on_demand
def points(
    series: Sequence[Series], xlabel: str, unit: str, *, log: bool = True, log_x: bool = False, lines: bool = False
) -> Drawn:
    """Values over something (run order, instances): clouds, or lines with error bars and fits."""
    figure, axes = empty(3.4)
    _draw(axes, series, unit, log=log, lines=lines)
    if log_x:
        log_axis(axes, "x", [v for line in series for v in line.x], format.number)
    else:
        whole_numbers(axes)
    axes.set_xlabel(xlabel)
    legend(axes)
    return svg(figure)


@on_demand
def history(series: Sequence[Series], changes: Sequence[Change], unit: str) -> Drawn:
    """Values over days since 1970 UTC, as dates; a dashed line with its number where something changed."""
    figure, axes = empty(3.6)
    _draw(axes, series, unit, log=True, lines=True)
    for change in changes:
        axes.axvline(change.x, color=FAINT, linewidth=1.0, linestyle="--")
        axes.annotate(change.label, (change.x, 1), (0, 3), xycoords=axes.get_xaxis_transform(), ha="center",
                      textcoords="offset points", weight="bold", annotation_clip=False)  # fmt: skip
    dates(axes, [x for line in series for x in line.x])
    axes.set_xlabel("date of the run (UTC)")
    legend(axes)
    return svg(figure)


def _draw(axes: Axes, series: Sequence[Series], unit: str, *, log: bool, lines: bool) -> None:
    """Each series with its error bars and its fit, and the axis of its values."""
    for line in series:
        _line(axes, line, lines=lines)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    values = in_sight([v for line in series for v in line.y], [v for line in series for v in (*line.low, *line.high)])
    if log and min(values, default=0) > 0:
        log_axis(axes, "y", values, lambda v: in_unit(v, unit), base_of(unit))
    else:
        axes.yaxis.set_major_formatter(lambda v, _: format.trimmed(in_unit(v, unit)) if v else "0")


def _line(axes: Axes, line: Series, *, lines: bool) -> None:
    """One series; the fit, if there is one, instead of the line from point to point."""
    colour = colour_of(line.style)
    if line.low:
        below = [max(y - a, 0.0) for y, a in zip(line.y, line.low, strict=True)]
        above = [max(b - y, 0) for y, b in zip(line.y, line.high, strict=True)]
        axes.errorbar(line.x, line.y, yerr=[below, above], fmt="none", ecolor=colour, elinewidth=1)
    axes.plot(line.x, line.y, marker_of(line.style), color=colour, markersize=5.5 if lines else 4,
              linestyle="-" if lines and line.fit is None else "none", linewidth=1.3,
              markeredgecolor=PAPER, markeredgewidth=0.4, label=short(line.label))  # fmt: skip
    if line.fit is not None and len(line.x):
        ends = [min(line.x), max(line.x)]
        axes.plot(ends, [line.fit[0] * x + line.fit[1] for x in ends], color=colour, linewidth=1.2)
