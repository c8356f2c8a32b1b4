"""The drawings. The only importer of matplotlib: data in, SVG out, the same bytes for the same data.

Text stays text in the SVG. Whatever has a colour of its own (`palette`) has a marker, or a hatch and a letter, of its
own too. Each drawing is made once; its dark variant only has other colours.
"""

from __future__ import annotations

import io
import logging
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, wraps
from importlib.util import find_spec
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, ParamSpec, TypeAlias

from isobench.report import format
from isobench.report.blocks import Picture
from isobench.report.palette import CYCLE, DARK, FAINT, GRID, INK, PAPER
from isobench.report.svg import compact
from isobench.report.ticks import log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.6
"""Inches; a hundred points of SVG to the inch and a bit, as wide as the page's text."""

_MARKERS = "osD^vPXph<>d8*"
_HATCHES = ("", "////", "\\\\\\\\", "xxxx", "----", "||||", "++++", "//")
"""Lines only: a hatch of circles makes an SVG a megabyte."""
_LABEL = 34
"""Characters of a label that a drawing shows."""


class Interval(NamedTuple):
    """A point with its interval, on a row of its own; rows of one `group` stand together."""

    label: str
    group: str
    value: float
    low: float
    high: float
    style: int = 0


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


class Bar(NamedTuple):
    """One stacked bar: the parts lie end to end; a negative part is drawn to the left of zero."""

    label: str
    parts: Sequence[float]


class Step(NamedTuple):
    """One rung of a waterfall: from `start` to `end`, with the interval of its end. A "whole" starts at zero and is
    no rung; the "rest" is what the rungs leave open."""

    label: str
    start: float
    end: float
    low: float
    high: float
    kind: Literal["rung", "whole", "rest"] = "rung"


class Panel(NamedTuple):
    """One small multiple: rows of points with their intervals (q25 to q75, or a percentile)."""

    title: str
    rows: Sequence[Interval]
    unit: str


_Wanted = ParamSpec("_Wanted")
Drawn: TypeAlias = tuple[str, str]
"""An SVG for a light page and one for a dark page."""


def _on_demand(draw: Callable[_Wanted, Drawn]) -> Callable[_Wanted, Picture]:
    """A drawing that is made when its picture is looked at."""

    @wraps(draw)
    def picture(*args: _Wanted.args, **kwargs: _Wanted.kwargs) -> Picture:
        return Picture(lambda: draw(*args, **kwargs))

    return picture


@_on_demand
def forest(rows: Sequence[Interval], xlabel: str, band: float) -> Drawn:
    """Ratios on a log axis, one row each, grouped; the band around 1 is shaded."""
    positions, heads, at, group = [], [], 0.0, None
    for row in rows:
        if row.group != group:
            heads.append((at, row.group))
            at, group = at + 0.9, row.group
        positions.append(at)
        at += 0.82
    figure, axes = _figure(at * 0.235 + 0.75)
    _band(axes, band)
    for row, y in zip(rows, positions, strict=True):
        _interval(axes, row, y)
    for y, title in heads:
        axes.text(-0.01, y, _short(title), transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold")
    axes.set_yticks(positions, [_short(row.label) for row in rows])
    axes.set_ylim(at - 0.2, -0.7)
    _log_x(axes, _ratios_in_sight(rows, band), format.ratio)
    axes.set_xlabel(xlabel)
    return _svg(figure)


@_on_demand
def waterfall(steps: Sequence[Step], unit: str) -> Drawn:
    """Costs adding up rung by rung, each bar starting where the one before it ended."""
    labels = [_wrapped(s.label) for s in steps]
    figure, axes = _figure(len(steps) * 0.3 + sum(label.count("\n") for label in labels) * 0.07 + 0.8)
    factor, name = format.scale(max((abs(v) for s in steps for v in (s.start, s.end)), default=1.0), unit)
    for y, step in enumerate(steps):
        left, right = sorted((step.start / factor, step.end / factor))
        rung = step.kind == "rung"
        colour = CYCLE[3] if not rung else CYCLE[0] if step.end >= step.start else CYCLE[1]
        hatch = "xxxx" if step.kind == "rest" else "////" if rung and step.end < step.start else ""
        axes.barh(y, right - left, left=left, height=0.62, color=colour, hatch=hatch, edgecolor=PAPER, linewidth=0.4)
        if math.isfinite(step.low) and math.isfinite(step.high):
            axes.plot([step.low / factor, step.high / factor], [y, y], color=INK, linewidth=1.1)
        text = format.quantity(step.end, unit) if step.kind == "whole" else format.signed(step.end - step.start, unit)
        edge = max(right, step.high / factor if math.isfinite(step.high) else right)
        axes.annotate(text, (edge, y), (5, 0), textcoords="offset points", va="center", color=FAINT)
        if y + 1 < len(steps) and steps[y + 1].kind != "whole":
            axes.plot([step.end / factor] * 2, [y + 0.31, y + 0.69], color=FAINT, linewidth=0.7)
    axes.set_yticks(range(len(steps)), labels)
    axes.set_ylim(len(steps) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.axvline(0, color=FAINT, linewidth=0.9)
    axes.set_xlabel(name)
    return _svg(figure)


@_on_demand
def ecdf(series: Sequence[Series], unit: str) -> Drawn:
    """What share of the samples is at or below a value, on a log axis. `y` is left empty."""
    figure, axes = _figure(3.5)
    for line in series:
        x = sorted(line.x)
        y = [(i + 1) / len(x) for i in range(len(x))]
        axes.step([x[0], *x], [0, *y], where="post", color=_colour(line.style), linewidth=1.5)
        middle = (len(x) - 1) // 2
        axes.plot([x[middle]], [y[middle]], _marker(line.style), color=_colour(line.style), markersize=6,
                  markeredgecolor=PAPER, linestyle="-", label=_short(line.label))  # fmt: skip
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel("share of samples")
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    _log_x(axes, [v for line in series for v in line.x], lambda v: format.quantity(v, unit))
    _legend(axes)
    return _svg(figure)


@_on_demand
def stacked(bars: Sequence[Bar], parts: Sequence[str], unit: str) -> Drawn:
    """The parts of each bar as shares of its whole, end to end, the whole beside it; a negative part lies left of 0.

    Each part has a letter, in the legend and on the bar, so that nobody has to tell ten colours apart.
    """
    figure, axes = _figure(len(bars) * 0.34 + 1.1)
    letters = dict(zip(parts, ascii_uppercase, strict=False))
    for y, bar in enumerate(bars):
        whole = sum(abs(v) for v in bar.parts if v == v) or 1.0
        ends = {True: 0.0, False: 0.0}
        for index, value in enumerate(bar.parts):
            if value == value:
                left, name = ends[value > 0], parts[index]
                axes.barh(y, value / whole, left=left, height=0.62, color=CYCLE[index % 10], edgecolor=PAPER,
                          hatch=_HATCHES[index % 8], linewidth=0.4, label=_lettered(letters, name))  # fmt: skip
                _letter(axes, left + value / whole / 2, y, value / whole, letters.get(name, ""))
                ends[value > 0] += value / whole
        total = format.quantity(sum(v for v in bar.parts if v == v), unit)
        axes.annotate(total, (ends[True], y), (5, 0), textcoords="offset points", va="center", color=FAINT)
    axes.xaxis.set_major_formatter(lambda v, _: format.percent(v) if v <= 1.001 else "")
    axes.set_xlim(right=1.1)
    axes.set_yticks(range(len(bars)), [_short(bar.label) for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlabel("share of the total")
    _legend(axes, [_lettered(letters, name) for name in parts])
    return _svg(figure)


def _lettered(letters: Mapping[str, str], name: str) -> str:
    return f"{letters[name]}  {name}" if name in letters else name


def _letter(axes: Axes, x: float, y: float, share: float, letter: str) -> None:
    """The letter of a part on its piece of the bar, with its share where there is room for both."""
    if abs(share) < _NARROW or not letter:
        return
    words = f"{letter}  {format.about(abs(share))}" if abs(share) >= _WIDE else letter
    box = {"boxstyle": "round,pad=0.18", "facecolor": PAPER, "edgecolor": "none"}
    axes.text(x, y, words, ha="center", va="center_baseline", fontsize=7.5, bbox=box)


_NARROW, _WIDE = 0.025, 0.09
"""Shares of a bar from which a piece has room for its letter, and for its percentage."""


@_on_demand
def dots(rows: Sequence[Interval], xlabel: str, band: float) -> Drawn:
    """Ratios on a log axis with one row a group: its environments share the row and are told apart by marker."""
    groups = list(dict.fromkeys(row.group for row in rows))
    members = list(dict.fromkeys(row.label for row in rows))
    figure, axes = _figure(len(groups) * (0.16 + 0.05 * len(members)) + 1.2)
    _band(axes, band)
    for row in rows:
        offset = (members.index(row.label) + 0.5) / len(members) - 0.5
        _interval(axes, row, groups.index(row.group) + 0.7 * offset, label=_short(row.label))
    for y in range(1, len(groups)):
        axes.axhline(y - 0.5, color=GRID, linewidth=0.5)
    axes.set_yticks(range(len(groups)), [_short(group) for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    _log_x(axes, _ratios_in_sight(rows, band), format.ratio)
    axes.set_xlabel(xlabel)
    _legend(axes)
    return _svg(figure)


@_on_demand
def points(
    series: Sequence[Series], xlabel: str, unit: str, *, log: bool = True, log_x: bool = False, lines: bool = False
) -> Drawn:
    """Values over something (run order, instances): clouds, or lines with error bars and fits."""
    figure, axes = _figure(3.4)
    _draw(axes, series, unit, log=log, lines=lines)
    if not log_x:
        axes.xaxis.set_major_locator(_whole_numbers())
    else:
        _log_x(axes, [v for line in series for v in line.x], format.number)
    axes.set_xlabel(xlabel)
    _legend(axes)
    return _svg(figure)


@_on_demand
def history(series: Sequence[Series], changes: Sequence[Change], unit: str) -> Drawn:
    """Values over days since 1970 UTC, as dates; a dashed line with its number where something changed."""
    figure, axes = _figure(3.6)
    _draw(axes, series, unit, log=True, lines=True)
    for change in changes:
        axes.axvline(change.x, color=FAINT, linewidth=1.0, linestyle="--")
        axes.annotate(change.label, (change.x, 1), (0, 3), xycoords=axes.get_xaxis_transform(), ha="center",
                      textcoords="offset points", weight="bold", annotation_clip=False)  # fmt: skip
    _dates(axes, [x for line in series for x in line.x])
    axes.set_xlabel("date of the run (UTC)")
    _legend(axes)
    return _svg(figure)


def _draw(axes: Axes, series: Sequence[Series], unit: str, *, log: bool, lines: bool) -> None:
    """Each series with its error bars and its fit, and the axis of its values."""
    for line in series:
        colour = _colour(line.style)
        if line.low:
            below = [max(y - a, 0.0) for y, a in zip(line.y, line.low, strict=True)]
            above = [max(b - y, 0) for y, b in zip(line.y, line.high, strict=True)]
            axes.errorbar(line.x, line.y, yerr=[below, above], fmt="none", ecolor=colour, elinewidth=1)
        axes.plot(line.x, line.y, _marker(line.style), color=colour, markersize=5.5 if lines else 4,
                  linestyle="-" if lines and line.fit is None else "none", linewidth=1.3,
                  markeredgecolor=PAPER, markeredgewidth=0.4, label=_short(line.label))  # fmt: skip
        if line.fit is not None and len(line.x):
            ends = [min(line.x), max(line.x)]
            axes.plot(ends, [line.fit[0] * x + line.fit[1] for x in ends], color=colour, linewidth=1.2)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    values = _in_sight([v for line in series for v in line.y], [v for line in series for v in (*line.low, *line.high)])
    if log and min(values, default=0) > 0:
        _log_axis(axes, "y", values, lambda v: _in_unit(v, unit), _base(unit))
    else:
        axes.yaxis.set_major_formatter(lambda v, _: format.trimmed(_in_unit(v, unit)) if v else "0")


_FAR = 10.0
"""How many times beyond the outermost points a drawing shows an interval."""


def _in_sight(points: Sequence[float], ends: Sequence[float]) -> list[float]:
    """The values that an axis has to show: every point, and intervals as far as they do not dwarf the points."""
    values = [v for v in points if math.isfinite(v)]
    others = [v for v in ends if math.isfinite(v)]
    if not values or min([*values, *others]) <= 0:
        return [*values, *others]
    low, high = min(values) / _FAR, max(values) * _FAR
    return [*values, *(min(max(v, low), high) for v in others)]


def _ratios_in_sight(rows: Sequence[Interval], band: float) -> list[float]:
    return _in_sight(
        [*(row.value for row in rows), 1 - band, 1 + band], [v for row in rows for v in (row.low, row.high)]
    )


def _dates(axes: Axes, days: Sequence[float]) -> None:
    """At most six dates on the x axis; with the time of day where all lie within three days."""
    from matplotlib.dates import AutoDateLocator

    form = "%Y-%m-%d" if max(days) - min(days) > _FEW_DAYS else "%m-%d %H:%M"
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=2, maxticks=6))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(lambda x, _: f"{datetime.fromtimestamp(x * 86400, UTC):{form}}")


_FEW_DAYS = 3


@_on_demand
def panels(grid: Sequence[Panel], columns: int = 2) -> Drawn:
    """Small multiples of dot plots, each with its own log axis, all with the same rows where they have them."""
    rows = max((len(panel.rows) for panel in grid), default=1)
    lines = math.ceil(len(grid) / columns)
    plt_figure = _new_figure(lines * (rows * 0.22 + 0.72))
    for index, panel in enumerate(grid):
        axes = plt_figure.add_subplot(lines, columns, index + 1)
        _plain(axes)
        for y, row in enumerate(panel.rows):
            _interval(axes, row, y)
        axes.set_yticks(range(len(panel.rows)), [_short(row.label, 22) for row in panel.rows])
        axes.set_ylim(len(panel.rows) - 0.4, -0.6)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.set_title(_short(panel.title, 48), loc="left", fontsize=9, weight="bold")
        values = [v for row in panel.rows for v in (row.value, row.low, row.high)]
        _log_x(axes, values, lambda v, unit=panel.unit: _in_unit(v, unit), _base(panel.unit))
    return _svg(plt_figure)


def _base(unit: str) -> float:
    return 2.0 if unit == "byte" else 10.0


def _in_unit(value: float, unit: str) -> str:
    return format.ratio(value) if unit == "ratio" else format.quantity(value, unit)


def _band(axes: Axes, band: float) -> None:
    """The baseline, and what counts as equivalent to it: shaded, its edges drawn so that they can be seen."""
    axes.axvspan(1 / (1 + band), 1 + band, color=GRID, linewidth=0)
    for edge in (1 / (1 + band), 1 + band):
        axes.axvline(edge, color=FAINT, linewidth=0.6, linestyle=":")
    axes.axvline(1, color=FAINT, linewidth=0.9)


def _interval(axes: Axes, row: Interval, y: float, label: str = "") -> None:
    colour = _colour(row.style)
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot([row.value], [y], _marker(row.style), color=colour, markersize=6, markeredgecolor=PAPER,
              linestyle="none", markeredgewidth=0.5, label=label or None)  # fmt: skip


def _colour(style: int) -> str:
    return CYCLE[style % len(CYCLE)]


def _marker(style: int) -> str:
    return _MARKERS[style % len(_MARKERS)]


def _short(label: str, limit: int = _LABEL) -> str:
    words = format.clean(label, 400)
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _wrapped(label: str) -> str:
    """A label on two lines at most."""
    lines = textwrap.wrap(_short(label, 3 * _LABEL), _LABEL + 4)
    return "\n".join([*lines[:1], _short(" ".join(lines[1:]), _LABEL + 4)]) if len(lines) > 1 else "".join(lines)


@cache
def _set_up() -> None:
    """matplotlib with its own defaults and our style, whatever a matplotlibrc or a notebook's MPLBACKEND says.

    It first reads the folder that it is imported in, so that it is imported in the one that has its defaults.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no word of a home folder that it cannot write
    set_by_user = {name: os.environ.pop(name) for name in ("MPLBACKEND", "MATPLOTLIBRC") if name in os.environ}
    spec = find_spec("matplotlib")
    places = [f"{folder}/mpl-data" for folder in (spec.submodule_search_locations or () if spec else ())]
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    try:
        os.chdir(next(filter(os.path.isdir, places), "/"))
        import matplotlib as mpl
    finally:
        os.fchdir(here)
        os.close(here)
        os.environ.update(set_by_user)
    mpl.rcdefaults()
    mpl.rcParams.update(_STYLE)


def _new_figure(height: float) -> Figure:
    _set_up()
    from matplotlib.figure import Figure as MplFigure

    return MplFigure(figsize=(WIDTH, min(height, 40.0)), layout="constrained")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = _new_figure(height)
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(axes: Axes, order: Sequence[str] = ()) -> None:
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    names = [name for name in order if name in once] or list(once)
    if names:
        columns = min(len(names), 4 if max(map(len, names)) < 22 else 2)
        axes.figure.legend(
            [once[name] for name in names],
            names,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            handlelength=1.6,
        )


def _log_x(axes: Axes, values: Sequence[float], text: Any, base: float = 10.0) -> None:
    _log_axis(axes, "x", values, text, base)


def _log_axis(axes: Axes, which: str, values: Sequence[float], text: Any, base: float = 10.0) -> None:
    """A log axis with plain words at round numbers, as far as there is room; powers of two where `base` is 2.

    Where a value is zero or less it is a linear one.
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


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def _fixed(ticks: list[float]) -> Any:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(ticks)


_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "isobench",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Liberation Sans", "Arial"],
    "font.size": 8.5,
    "hatch.linewidth": 0.6,
    "hatch.color": PAPER,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def _svg(figure: Figure) -> Drawn:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    light = buffer.getvalue()
    light = compact(light[light.index("<svg") :].replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans'"))
    dark = light
    for colour, instead in DARK.items():
        dark = dark.replace(colour, instead)
    return light, dark
