"""4. Real programs, and the user's own: what each loses in each environment, and where it loses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.core.model import BAND
from isobench.layout import format
from isobench.layout.blocks import Code, Details, Figure, Heading, Paragraph, Span, table
from isobench.report import charts, rules
from isobench.report.context import Section
from isobench.report.needs import representatives
from isobench.report.rungs import find_rungs
from isobench.report.sections._shared import (
    ESTIMATE_COLUMNS,
    alt_of,
    estimate_cells,
    finding,
    scenario_details,
    style_of,
)

if TYPE_CHECKING:
    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Block, Cell, Text
    from isobench.report.context import Context

_OF_EVERY_WORKLOAD = (
    *("first-answer", "wall", "whole", "cpu", "host-cpu", "pss", "peak", "cgroup-peak", "cgroup", "uss", "rss"),
    *(f"host-cpu-{part}" for part in ("payload", "helper", "engine", "kernel", "vmm")),
)
"""The metrics of every workload. Its own numbers come first, since users ask about these."""
SHARED = "on the CPUs of the instance"
"""Part of a workload's fact `driver` if the host has no CPUs for a driver of its own."""
_IN_TABLES_ONLY = frozenset(_OF_EVERY_WORKLOAD[8:])
"""Further memory counts, and parts of the host's CPU time, which are not drawn because they would hide the main
costs."""


def workloads(context: Context) -> list[str]:
    """The scenarios that are workloads: those for which an environment recorded a root file system."""
    facts = {fact for record in context.session.environments for fact in record.facts}
    return [scenario.name for scenario in context.session.scenarios if f"{scenario.name}.root" in facts]


def build(context: Context) -> list[Block]:
    return [block for name in workloads(context) for block in _workload(context, name)]


def _workload(context: Context, name: str) -> list[Block]:
    metrics = ordered(context.metrics_of(name))
    if not metrics:
        return []
    record = next(scenario for scenario in context.session.scenarios if scenario.name == name)
    rows = [row for metric in metrics for row in context.select(name, metric)]
    against = [row for row in rows if row.environment != context.baseline and row.ratio == row.ratio]
    driver = format.clean(_fact(context, f"{name}.driver"), 200)
    blocks: list[Block] = [Heading(format.clean(record.title, 100))]
    if SHARED in driver:
        blocks.append(Paragraph(f"This host is too small to keep server and driver apart: the driver was {driver}."))
    blocks.append(Paragraph(answer(context, name, metrics)))
    if against:
        blocks.append(_ratios(context, name, metrics, against))
        blocks += _causes(context, name, metrics[0])
    command = _fact(context, f"{name}.command")
    if command:
        identity = format.clean(_fact(context, f"{name}.root"), 40)
        given = format.clean(_fact(context, f"{name}.allotted"), 200)
        driven = f" Its driver was {driver}." if driver else ""
        told = Span(f"Each instance had {given}.{driven} Its root file system was {identity}; the command:", "small")
        blocks.append(Details("What was run", [Paragraph(told), Code(format.clean(command, 2000))]))
    return [*blocks, *scenario_details(context, name, metrics)]


def ordered(metrics: list[str]) -> list[str]:
    """The workload's own numbers, and then what every workload is judged by."""
    own = [metric for metric in metrics if metric not in _OF_EVERY_WORKLOAD]
    return [*own, *(metric for metric in _OF_EVERY_WORKLOAD if metric in metrics)]


def answer(context: Context, name: str, metrics: list[str]) -> str:
    """One sentence: the first number in each environment that may be named, relative to the baseline."""
    metric = metrics[0]
    rows = rules.nameable(context, context.select(name, metric))
    others = [row for row in rows if row.environment != context.baseline]
    record = context.metric(name, metric)
    what = format.clean(record.meaning if record and record.meaning else metric, 120)
    base = next((row for row in rows if row.environment == context.baseline), None)
    if base is None or not others:
        return f"{what[0].upper()}{what[1:]}: {finding(context, context.select(name, metric), metric)}."
    told = [f"{format.clean(row.environment, 40)} {_in_words(row)}" for row in others]
    at = format.clean(context.baseline, 40)
    return f"{what[0].upper()}{what[1:]} takes {format.cost(base)} in {at}. Against that: {'; '.join(told)}."


def _in_words(row: Estimate) -> str:
    """A ratio with its interval; in words if it is uncertain."""
    if row.ratio_low != row.ratio_low or row.verdict == "inconclusive":
        return rules.said(row)
    return f"{format.against(row)} ({format.verdict(row.verdict, row.unit)})"


def _ratios(context: Context, name: str, metrics: list[str], rows: list[Estimate]) -> Figure:
    shown = set(representatives(context))
    drawn = [
        charts.Interval(
            row.environment, row.metric, row.ratio, row.ratio_low, row.ratio_high, style_of(context, row.environment)
        )
        for row in rows
        if row.environment in shown and row.metric not in _IN_TABLES_ONLY
    ]
    title = finding(context, context.select(name, metrics[0]), f"{name}.{metrics[0]}")
    cells = [
        [f"{format.clean(row.metric, 40)} / {format.clean(row.environment, 60)}", *estimate_cells(context, row)]
        for row in rows
    ]
    data = table(
        f"Ratios of {format.clean(name, 60)} to the baseline", ["cost / environment", *ESTIMATE_COLUMNS], cells
    )
    baseline = context.title(context.baseline)
    note = (
        f"Point: centre of the ratios to {baseline} within a block; line: 95 % interval; grey: {format.band(BAND)}. "
        f"Log axis, lower is better. {format.of_blocks(row.n for row in rows)}"
    )
    return Figure(title, charts.forest(drawn, f"times {baseline}", BAND), alt_of(title, data), note, data)


def _causes(context: Context, name: str, metric: str) -> list[Block]:
    """The costs of single causes: paired differences of environments that differ in one thing. Empty if no two do."""
    rungs = {(rung.upper, rung.lower): rung for rung in find_rungs(context, name, metric) if rung.cause}
    rows: list[list[Cell | Text]] = []
    for difference in context.results.differences(name, list(rungs)):
        rung = rungs[difference.environment, difference.compared_with]
        base = context.find(name, metric, rung.lower)
        if difference.metric != metric or base is None:
            continue
        share = format.share(difference.value / base.median) if base.median > 0 else format.MISSING
        upper = (Span(format.clean(rung.upper, 60), "strong"), Span(f"against {format.clean(rung.lower, 60)}", "small"))
        rows.append([upper, rung.cause, format.difference(difference), share])
    if not rows:
        return []
    title = f"Where {format.clean(name, 60)} loses it: the paired difference of environments that differ in one thing"
    return [table(title, ["environment", "what differs", f"{format.clean(metric, 40)} [95 %]", "of it"], rows, left=2)]


def _fact(context: Context, name: str) -> str:
    return next((record.facts[name] for record in context.session.environments if name in record.facts), "")


SECTION = Section(35, "workloads", "Your workload", build, "Workload")
