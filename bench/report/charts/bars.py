"""Bars: costs that add up rung by rung, and the parts of a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Literal, NamedTuple

from isobench.layout import format
from isobench.layout.palette import CYCLE, FAINT, INK, PAPER
from isobench.report.charts.drawing import Drawn, empty, on_demand, svg
from isobench.report.charts.marks import HATCHES, legend, short, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Step(NamedTuple):
    """One rung of a waterfall: from `start` to `end`, with the interval of its end. A "whole" starts at zero and is
    no rung; the "rest" is what the rungs leave open."""

    label: str
    start: float
    end: float
    low: float
    high: float
    kind: Literal["rung", "whole", "rest"] = "rung"


class Bar(NamedTuple):
    """One stacked bar: the parts lie end to end; a negative part is drawn to the left of zero."""

    label: str
    parts: Sequence[float]


@on_demand
def waterfall(steps: Sequence[Step], unit: str) -> Drawn:
    """Costs adding up rung by rung, each bar starting where the one before it ended."""
    labels = [wrapped(s.label) for s in steps]
    figure, axes = empty(len(steps) * 0.3 + sum(label.count("\n") for label in labels) * 0.07 + 0.8)
    factor, name = format.scale(max((abs(v) for s in steps for v in (s.start, s.end)), default=1.0), unit)
    for y, step in enumerate(steps):
        _step(axes, y, step, factor, unit)
        if y + 1 < len(steps) and steps[y + 1].kind != "whole":
            axes.plot([step.end / factor] * 2, [y + 0.31, y + 0.69], color=FAINT, linewidth=0.7)
    axes.set_yticks(range(len(steps)), labels)
    axes.set_ylim(len(steps) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.axvline(0, color=FAINT, linewidth=0.9)
    axes.set_xlabel(name)
    return svg(figure)


def _step(axes: Axes, y: int, step: Step, factor: float, unit: str) -> None:
    """A step's bar, hatched if it is negative or unexplained, with its interval and its cost."""
    left, right = sorted((step.start / factor, step.end / factor))
    rises = step.end >= step.start
    colour, hatch = {
        "rung": (CYCLE[0], "") if rises else (CYCLE[1], "////"),
        "whole": (CYCLE[3], ""),
        "rest": (CYCLE[3], "xxxx"),
    }[step.kind]
    axes.barh(y, right - left, left=left, height=0.62, color=colour, hatch=hatch, edgecolor=PAPER, linewidth=0.4)
    if math.isfinite(step.low) and math.isfinite(step.high):
        axes.plot([step.low / factor, step.high / factor], [y, y], color=INK, linewidth=1.1)
    text = format.quantity(step.end, unit) if step.kind == "whole" else format.signed(step.end - step.start, unit)
    edge = max(right, step.high / factor if math.isfinite(step.high) else right)
    _beside(axes, edge, y, text)


def _beside(axes: Axes, edge: float, y: int, text: str) -> None:
    axes.annotate(text, (edge, y), (5, 0), textcoords="offset points", va="center", color=FAINT)


@on_demand
def stacked(bars: Sequence[Bar], parts: Sequence[str], unit: str) -> Drawn:
    """The parts of each bar as shares of its whole, end to end, the whole beside it; a negative part lies left of 0.

    Each part has a letter, in the legend and on the bar, so that readers need not distinguish ten colours.
    """
    figure, axes = empty(len(bars) * 0.34 + 1.1)
    letters = dict(zip(parts, ascii_uppercase, strict=False))
    for y, bar in enumerate(bars):
        end = _pieces(axes, y, bar, parts, letters)
        _beside(axes, end, y, format.quantity(sum(v for v in bar.parts if v == v), unit))
    axes.xaxis.set_major_formatter(lambda v, _: format.percent(v) if v <= 1.001 else "")
    axes.set_xlim(right=1.1)
    axes.set_yticks(range(len(bars)), [short(bar.label) for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlabel("share of the total")
    legend(axes, [_lettered(letters, name) for name in parts])
    return svg(figure)


def _pieces(axes: Axes, y: int, bar: Bar, parts: Sequence[str], letters: Mapping[str, str]) -> float:
    """The parts of one bar, end to end; returns where those that are not negative end."""
    whole = sum(abs(v) for v in bar.parts if v == v) or 1.0
    ends = {True: 0.0, False: 0.0}
    for index, (value, name) in enumerate(zip(bar.parts, parts, strict=True)):
        if value == value:
            left, share = ends[value > 0], value / whole
            axes.barh(y, share, left=left, height=0.62, color=CYCLE[index % 10], edgecolor=PAPER,
                      hatch=HATCHES[index % 8], linewidth=0.4, label=_lettered(letters, name))  # fmt: skip
            _letter(axes, left + share / 2, y, share, letters.get(name, ""))
            ends[value > 0] += share
    return ends[True]


def _lettered(letters: Mapping[str, str], name: str) -> str:
    return f"{letters[name]}  {name}" if name in letters else name


def _letter(axes: Axes, x: float, y: float, share: float, letter: str) -> None:
    """The letter of a part on its piece of the bar, with its share if there is room for both."""
    if abs(share) < _NARROW or not letter:
        return
    words = f"{letter}  {format.about(abs(share))}" if abs(share) >= _WIDE else letter
    box = {"boxstyle": "round,pad=0.18", "facecolor": PAPER, "edgecolor": "none"}
    axes.text(x, y, words, ha="center", va="center_baseline", fontsize=7.5, bbox=box)


_NARROW, _WIDE = 0.025, 0.09
"""Shares of a bar from which a piece has room for its letter, and for its percentage."""
