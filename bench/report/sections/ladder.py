"""4. The ladder: what each rung adds, as paired differences that stack up to the whole.

A rung names one cause only where its record says that it differs in that alone and the rung it is compared with was
measured in this run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.report import charts, format
from bench.report.blocks import Block, Figure, Paragraph, Span, table
from bench.report.context import Section
from bench.report.rungs import Rung, find_rungs
from bench.report.sections._shared import alt_of, name_cell, parts_figure

if TYPE_CHECKING:
    from bench.report.blocks import Cell, Table, Text
    from bench.report.context import Context, Difference

_TARGETS = (("docker", "podman", "runc", "handmade"), ("kvm", "tcg"))
"""What a waterfall leads up to: the first of each row that was measured."""

_COSTS = (("ready", "to the first byte"), ("gone", "until all is freed"), ("cpu", "CPU"))


def build(context: Context) -> list[Block]:
    rungs = find_rungs(context)
    if not any(_difference(context, rung, "ready") for rung in rungs):
        return []
    figures = [_waterfall(context, chain) for chain in _chains(context, rungs)]
    note = (
        "Each rung is compared with the rung beneath it, block by block; the difference may be negative. A cause is "
        "named only where two rungs differ in that alone."
    )
    return [Paragraph(note), *figures, _table(context, rungs), *_steps(context)]


def _steps(context: Context) -> list[Block]:
    """The steps of the starts that tell them, each stamped: what the difference of two rungs is too coarse for."""
    metrics = [m for m in context.metrics_of("startup") if m.startswith("step-")]
    names = context.measured({row.environment for metric in metrics for row in context.select("startup", metric)})
    figure = parts_figure(context, "startup", metrics, "The steps of a start made by hand", names)
    return [figure] if figure else []


def _chains(context: Context, rungs: list[Rung]) -> list[list[Rung]]:
    """The ways up to a container and up to a virtual machine, from the baseline or from a rung that stands apart."""
    below = {rung.upper: rung for rung in rungs}
    chains = []
    for targets in _TARGETS:
        target = next((name for name in targets if name in below), None)
        chain: list[Rung] = []
        while target is not None and target in below and len(chain) < 50:
            chain.insert(0, below[target])
            target = below[target].lower
        if len(chain) >= 2 or (chain and chain[0].lower != context.baseline):
            chains.append(chain)
    return chains


def _waterfall(context: Context, chain: list[Rung]) -> Figure:
    bottom, top = chain[0].lower, chain[-1].upper
    base, whole = (context.find("startup", "ready", name) for name in (bottom, top))
    start = base.median if base else 0.0
    steps = [charts.Step(format.clean(bottom, 40), 0.0, start, math.nan, math.nan, total=True)]
    rows: list[list[Cell | Text]] = [[name_cell(context, bottom), "", format.quantity(start, "second"), ""]]
    at = start
    for rung in chain:
        difference = _difference(context, rung, "ready")
        if difference is None:
            continue
        end = at + difference.value
        low, high = at + difference.low, at + difference.high
        steps.append(charts.Step(_label(rung), at, end, low, high))
        rows.append(
            [name_cell(context, rung.upper), rung.cause or f"several: {rung.adds}", difference.text, rung.lower]
        )
        at = end
    total = whole.median if whole else at
    steps.append(charts.Step("not explained", at, total, math.nan, math.nan))
    steps.append(charts.Step(format.clean(top, 40), 0.0, total, math.nan, math.nan, total=True))
    rows.append(["sum of the rungs", "", format.quantity(at, "second"), ""])
    rows.append(["not explained by the rungs", "", format.signed(total - at, "second"), ""])
    rows.append([f"{format.clean(top, 60)} as measured", "", format.quantity(total, "second"), ""])
    largest = max(steps[1:-2], key=lambda step: step.end - step.start, default=steps[0])
    share = (largest.end - largest.start) / total
    title = (
        f"Of the {format.quantity(total, 'second')} that {format.clean(top, 40)} takes to its first byte, "
        f"{format.about(share)} is the step to {largest.label}; "
        f"{format.about(abs(total - at) / total)} stays unexplained"
    )
    data = table("Rung by rung, to the first byte", ["rung", "adds", "cost [95 %]", "compared with"], rows, left=2)
    count = base.n if base else 0
    note = f"Bars: centres (Hodges–Lehmann) of the paired differences; line: 95 % interval. n = {count} blocks."
    return Figure(title, charts.waterfall(steps, "second"), alt_of(title, data, 20), note, data)


def _label(rung: Rung) -> str:
    upper = format.clean(rung.upper, 40)
    return f"{upper}: {rung.cause}" if rung.cause else upper


def _table(context: Context, rungs: list[Rung]) -> Table:
    rows: list[list[Cell | Text]] = []
    for rung in rungs:
        adds: Text = rung.cause or (Span("several things:", "small"), Span(rung.adds))
        costs = [_difference(context, rung, metric) for metric, _ in _COSTS]
        cells = [d.text if d else format.MISSING for d in costs]
        rung_cell = (
            Span(format.clean(rung.upper, 60), "strong"),
            Span(f"against {format.clean(rung.lower, 60)}", "small"),
        )
        rows.append([rung_cell, adds, *cells])
    columns = ["rung", "what it adds", *(title for _, title in _COSTS)]
    return table(
        "The cost of every rung: paired difference to the one it is compared with [95 %]", columns, rows, left=2
    )


def _difference(context: Context, rung: Rung, metric: str) -> Difference | None:
    return next(
        (
            d
            for d in context.differences
            if (d.scenario, d.metric, d.environment, d.compared_with) == ("startup", metric, rung.upper, rung.lower)
        ),
        None,
    )


SECTION = Section(40, "ladder", "The ladder", build)
