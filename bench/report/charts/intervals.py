"""Points with their intervals, a row each: ratios to the baseline, and small multiples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format
from isobench.layout.palette import FAINT, GRID, PAPER
from isobench.report.charts.drawing import Drawn, empty, empty_figure, on_demand, svg, tidy
from isobench.report.charts.marks import colour_of, legend, marker_of, short
from isobench.report.charts.scales import base_of, in_sight, in_unit, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Interval(NamedTuple):
    """A point with its interval, on a row of its own; rows of one `group` stand together."""

    label: str
    group: str
    value: float
    low: float
    high: float
    style: int = 0


class Panel(NamedTuple):
    """One small multiple: rows of points with their intervals (q25 to q75, or a percentile)."""

    title: str
    rows: Sequence[Interval]
    unit: str


@on_demand
def forest(rows: Sequence[Interval], xlabel: str, band: float) -> Drawn:
    """Ratios on a log axis, one row each, grouped; the band around 1 is shaded."""
    positions, heads, end = _positions(rows)
    figure, axes = empty(end * 0.235 + 0.75)
    _band(axes, band)
    for row, y in zip(rows, positions, strict=True):
        _interval(axes, row, y)
    for y, title in heads:
        axes.text(-0.01, y, short(title), transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold")
    axes.set_yticks(positions, [short(row.label) for row in rows])
    axes.set_ylim(end - 0.2, -0.7)
    log_axis(axes, "x", _ratios_in_sight(rows, band), format.ratio)
    axes.set_xlabel(xlabel)
    return svg(figure)


def _positions(rows: Sequence[Interval]) -> tuple[list[float], list[tuple[float, str]], float]:
    """The position of each row and of each group's heading, and the end of all."""
    positions, heads, at, group = [], [], 0.0, None
    for row in rows:
        if row.group != group:
            heads.append((at, row.group))
            at, group = at + 0.9, row.group
        positions.append(at)
        at += 0.82
    return positions, heads, at


@on_demand
def dots(rows: Sequence[Interval], xlabel: str, band: float) -> Drawn:
    """Ratios on a log axis with one row per group: its environments share the row and differ by marker."""
    groups = list(dict.fromkeys(row.group for row in rows))
    members = list(dict.fromkeys(row.label for row in rows))
    figure, axes = empty(len(groups) * (0.16 + 0.05 * len(members)) + 1.2)
    _band(axes, band)
    for row in rows:
        offset = (members.index(row.label) + 0.5) / len(members) - 0.5
        _interval(axes, row, groups.index(row.group) + 0.7 * offset, label=short(row.label))
    for y in range(1, len(groups)):
        axes.axhline(y - 0.5, color=GRID, linewidth=0.5)
    axes.set_yticks(range(len(groups)), [short(group) for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    log_axis(axes, "x", _ratios_in_sight(rows, band), format.ratio)
    axes.set_xlabel(xlabel)
    legend(axes)
    return svg(figure)


@on_demand
def panels(grid: Sequence[Panel], columns: int = 2) -> Drawn:
    """Small multiples of dot plots, each with its own log axis, all with the same rows where they have them."""
    rows = max((len(panel.rows) for panel in grid), default=1)
    lines = math.ceil(len(grid) / columns)
    figure = empty_figure(lines * (rows * 0.22 + 0.72))
    for index, panel in enumerate(grid):
        _panel(figure.add_subplot(lines, columns, index + 1), panel)
    return svg(figure)


def _panel(axes: Axes, panel: Panel) -> None:
    tidy(axes)
    for y, row in enumerate(panel.rows):
        _interval(axes, row, y)
    axes.set_yticks(range(len(panel.rows)), [short(row.label, 22) for row in panel.rows])
    axes.set_ylim(len(panel.rows) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_title(short(panel.title, 48), loc="left", fontsize=9, weight="bold")
    values = [v for row in panel.rows for v in (row.value, row.low, row.high)]
    log_axis(axes, "x", values, lambda v: in_unit(v, panel.unit), base_of(panel.unit))


def _band(axes: Axes, band: float) -> None:
    """The baseline, and the shaded band of equivalence with visible edges."""
    axes.axvspan(1 / (1 + band), 1 + band, color=GRID, linewidth=0)
    for edge in (1 / (1 + band), 1 + band):
        axes.axvline(edge, color=FAINT, linewidth=0.6, linestyle=":")
    axes.axvline(1, color=FAINT, linewidth=0.9)


def _interval(axes: Axes, row: Interval, y: float, label: str = "") -> None:
    colour = colour_of(row.style)
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot([row.value], [y], marker_of(row.style), color=colour, markersize=6, markeredgecolor=PAPER,
              linestyle="none", markeredgewidth=0.5, label=label or None)  # fmt: skip


def _ratios_in_sight(rows: Sequence[Interval], band: float) -> list[float]:
    return in_sight(
        [*(row.value for row in rows), 1 - band, 1 + band], [v for row in rows for v in (row.low, row.high)]
    )
