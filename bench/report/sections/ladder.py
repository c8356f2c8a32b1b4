"""The ladder: what each rung adds, as paired differences that stack up to the whole.

A rung names one cause only if its record says that it differs in that alone, and if the rung that it is compared with
was measured in this run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from isobench.layout import format
from isobench.layout.blocks import Block, Figure, Paragraph, Span, table
from isobench.report import charts, rules
from isobench.report.caveats import artefact
from isobench.report.context import Section
from isobench.report.rungs import Rung, find_rungs
from isobench.report.sections._shared import alt_of, drawn, name_cell, parts_figure

if TYPE_CHECKING:
    from isobench.analysis.results import Difference
    from isobench.layout.blocks import Cell, Table, Text
    from isobench.report.context import Context

_TARGETS = (("docker", "podman", "runc", "handmade"), ("kvm", "tcg"))
"""The top of each waterfall: the first of each row that was measured."""

_COSTS = (("ready", "to the first byte"), ("gone", "until all is freed"), ("cpu", "CPU time"))
_SAYS = {"ready": "time that {} takes to its first byte", "cpu": "CPU time that one {} takes from start to end"}
"""The costs that are stacked, and their words in a title."""


def build(context: Context) -> list[Block]:
    rungs = find_rungs(context)
    if not any(rung.cause and _difference(context, rung, "ready") for rung in rungs):
        return _steps(context)
    found = [_waterfall(context, chain, metric) for chain in _chains(context, rungs) for metric in _SAYS]
    figures = [figure for figure in found if figure is not None]
    note = (
        "Each rung is compared with the rung beneath it, block by block; the difference may be negative. A cause is "
        "named only where two rungs differ in that alone."
    )
    return [Paragraph(note), *figures, _table(context, rungs), *_steps(context)]


def _steps(context: Context) -> list[Block]:
    """The stamped steps of the starts that have them: the difference of two rungs is too coarse for these."""
    metrics = [m for m in context.metrics_of("startup") if m.startswith("step-")]
    names = context.measured({row.environment for metric in metrics for row in context.select("startup", metric)})
    figure = parts_figure(context, "startup", metrics, "The steps of a start made by hand", drawn(context, names))
    return [figure] if figure else []


def _chains(context: Context, rungs: list[Rung]) -> list[list[Rung]]:
    """The ways up to a container and up to a virtual machine, from the baseline or from a rung that stands apart.

    A chain in which no rung names a cause, because those in between were not run, would explain nothing.
    """
    below = {rung.upper: rung for rung in rungs}
    chains = []
    for targets in _TARGETS:
        target = next((name for name in targets if name in below), None)
        chain: list[Rung] = []
        while target is not None and target in below and len(chain) < 50:
            chain.insert(0, below[target])
            target = below[target].lower
        several = len(chain) >= 2 or (chain and chain[0].lower != context.baseline)
        if several and any(rung.cause for rung in chain):
            chains.append(chain)
    return chains


def _waterfall(context: Context, chain: list[Rung], metric: str) -> Figure | None:
    """The rungs of a chain stacked up in one metric, what they leave unexplained, and the whole as measured."""
    bottom, top = chain[0].lower, chain[-1].upper
    base, whole = (context.find("startup", metric, name) for name in (bottom, top))
    if base is None or whole is None:
        return None
    name = format.clean(top, 40)
    steps = [charts.Step(f"{format.clean(bottom, 40)}, measured", 0.0, base.median, math.nan, math.nan, "whole")]
    rows: list[list[Cell | Text]] = [[name_cell(context, bottom), "", format.cost(base), ""]]
    at, counts = base.median, {base.n}
    for rung in chain:
        difference = _difference(context, rung, metric)
        if difference is None:
            continue
        low, high = at + difference.low, at + difference.high
        steps.append(charts.Step(_label(rung), at, at + difference.value, low, high))
        adds = rung.cause or f"several: {rung.adds}"
        rows.append([name_cell(context, rung.upper), adds, format.difference(difference), format.clean(rung.lower, 60)])
        at += difference.value
        counts.add(difference.n)
    steps.append(charts.Step("not explained", at, whole.median, math.nan, math.nan, "rest"))
    steps.append(charts.Step(f"{name}, measured", 0.0, whole.median, math.nan, math.nan, "whole"))
    rest = whole.median - at
    rows.append(["sum of the rungs", "", format.quantity(at, "second"), ""])
    rows.append(["not explained by the rungs", "", format.signed(rest, "second"), format.share(rest / whole.median)])
    rows.append([f"{name} as measured", "", format.cost(whole), ""])
    what = _SAYS[metric]
    found = {d: rung for rung in chain if (d := _difference(context, rung, metric)) is not None}
    largest = rules.outstanding(list(found))
    title = (
        f"Of the {what.format(name)}, {format.about(abs(rest) / whole.median)} stays unexplained; no step stands out"
    )
    why = artefact(context, top)
    if why:
        title = f"The {what.format(name)}, in {format.count(len(found), 'step')} (on {why}, so not a finding)"
    elif largest is not None:
        title = (
            f"Of the {what.format(name)}, {format.about(largest.value / whole.median)} is the step to "
            f"{_label(found[largest])}; {format.about(abs(rest) / whole.median)} stays unexplained"
        )
    data = table(f"Rung by rung, {dict(_COSTS)[metric]}", ["rung", "adds", "cost [95 %]", "compared with"], rows, 2)
    note = (
        f"Bars: centres (Hodges–Lehmann) of the paired differences, one on the other; line: 95 % interval; grey: the "
        f"medians measured, and what the rungs leave unexplained between them. {format.of_blocks(counts)}"
    )
    return Figure(title, charts.waterfall(steps, "second"), alt_of(title, data, 20), note, data)


def _label(rung: Rung) -> str:
    upper = format.clean(rung.upper, 40)
    return f"{upper}: {rung.cause}" if rung.cause else upper


def _table(context: Context, rungs: list[Rung]) -> Table:
    rows: list[list[Cell | Text]] = []
    for rung in _bottom_up(rungs):
        adds: Text = rung.cause or (Span("several things:", "small"), Span(rung.adds))
        costs = [_difference(context, rung, metric) for metric, _ in _COSTS]
        cells = [format.difference(d) if d else format.MISSING for d in costs]
        rung_cell = (
            Span(format.clean(rung.upper, 60), "strong"),
            Span(f"against {format.clean(rung.lower, 60)}", "small"),
        )
        rows.append([rung_cell, adds, *cells])
    columns = ["rung", "what it adds", *(title for _, title in _COSTS)]
    return table(
        "The cost of every rung: paired difference to the one it is compared with [95 %]", columns, rows, left=2
    )


def _bottom_up(rungs: list[Rung]) -> list[Rung]:
    """Each rung after the one it is compared with, otherwise in the order of the record."""
    below = {rung.upper: rung.lower for rung in rungs}

    def height(rung: Rung) -> int:
        steps, at = 0, rung.upper
        while at in below and steps <= len(below):
            steps, at = steps + 1, below[at]
        return steps

    return sorted(rungs, key=height)


def _difference(context: Context, rung: Rung, metric: str) -> Difference | None:
    return context.difference("startup", metric, rung.upper, rung.lower)


SECTION = Section(40, "ladder", "The ladder", build, "Ladder")
