"""6. Memory: the counts side by side for one instance, and what one more instance takes when there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.paired import interval
from bench.report import format
from bench.report.blocks import Cell, Heading, Span, table
from bench.report.context import Section, shade
from bench.report.needs import representatives
from bench.report.sections._shared import (
    OVER_COUNT,
    dot_panels,
    finding,
    name_cell,
    over_count,
    parts_figure,
    scenario_details,
)

if TYPE_CHECKING:
    from bench.report.blocks import Block, Text
    from bench.report.context import Context

_WAYS = ("available", "pss", "cgroup", "kernel", "slab", "page-tables", "kernel-stacks", "per-cpu", "fixed")
"""The slopes that the density scenario takes, and its intercept."""
_ACCOUNTS = ("available", "pss", "kernel", "daemons", "harness")
"""The whole, and what explains it without counting anything twice."""
_ACCOUNTED = ("PSS", "kernel", "daemons", "harness beside it")
_COUNTS = ("pss", "uss", "rss", "cgroup")
_ONCE = ("pss-daemons",)
"""What is there once however many instances there are: shown beside the counts, no part of any."""
_PARTS = {
    "PSS, by whose process": ["pss-payload", "pss-helper"],
    "The cgroup's count, by kind": ["cgroup-anonymous", "cgroup-file", "cgroup-kernel"],
}
"""What divides into which metrics."""


def build(context: Context) -> list[Block]:
    return [*_single(context), *_density(context)]


def _single(context: Context) -> list[Block]:
    metrics = context.metrics_of("memory")
    if not metrics:
        return []
    counts = [m for m in _COUNTS if m in metrics]
    title = finding(context, context.select("memory", counts[0] if counts else metrics[0]), "Memory of one instance")
    figure = dot_panels(context, "memory", counts or metrics[:4], title, names=representatives(context))
    once = [m for m in _ONCE if m in metrics]
    blocks: list[Block] = [_side_by_side(context, "memory", [*(counts or metrics[:4]), *once])]
    blocks += [figure] if figure else []
    for whole, parts in _PARTS.items():
        found = parts_figure(context, "memory", [m for m in parts if m in metrics], whole, representatives(context))
        blocks += [found] if found else []
    return [*blocks, *scenario_details(context, "memory")]


def _side_by_side(context: Context, scenario: str, counts: list[str]) -> Block:
    rows: list[list[Cell | Text]] = []
    for name in context.measured({r.environment for r in context.select(scenario)}):
        cells: list[Cell | Text] = [name_cell(context, name)]
        for count in counts:
            row = context.find(scenario, count, name)
            if row is None:
                cells.append(format.MISSING)
                continue
            against = "baseline" if name == context.baseline else row.ratio_text if row.ratio == row.ratio else ""
            cells.append(Cell((Span(row.value_text, "strong"), Span(against, "small")), shade(row.ratio)))
        rows.append(cells)
    records = [(count, context.metric(scenario, count)) for count in counts]
    meanings = "; ".join(f"{count}: {format.clean(r.meaning, 160)}" for count, r in records if r and r.meaning)
    what = "One instance" if scenario == "memory" else "Many instances"
    ways = len([count for count in counts if count not in _ONCE])
    return table(f"{what}, counted in {ways} ways. {meanings}.", ["environment", *counts], rows)


def _density(context: Context) -> list[Block]:
    """Lines over the number of instances, and the slopes that the run itself took, side by side."""
    metrics = context.metrics_of("density")
    if not metrics:
        return []
    single = [m for m in metrics if not OVER_COUNT.match(m)]
    names = context.measured({row.environment for row in context.select("density")})
    blocks: list[Block] = [Heading("Many instances at once")]
    blocks += [_side_by_side(context, "density", [m for m in single if m in _WAYS])] if single else []
    blocks += _accounts(context, names)
    blocks += over_count(context, "density", names, "idle instances", fit=True)
    return [*blocks, *scenario_details(context, "density")]


def _accounts(context: Context, names: list[str]) -> list[Block]:
    """What one more instance takes, and how far the independent counts explain it: the rest is shown, not hidden."""
    rows: list[list[Cell | Text]] = []
    for name in names:
        found = {part: dict(zip(*context.values("density", part, name), strict=True)) for part in _ACCOUNTS}
        if not found["available"]:
            continue
        rest = [
            value - sum(found[part].get(block, 0.0) for part in _ACCOUNTS[1:])
            for block, value in found["available"].items()
        ]
        whole = interval(np.array(list(found["available"].values())))
        left = interval(np.array(rest))
        parts = [_middle(found[part]) for part in _ACCOUNTS[1:]]
        share = format.percent(left.centre / whole.centre)
        rows.append([
            name_cell(context, name),
            format.signed_interval(whole.centre, whole.low, whole.high, "byte"),
            *parts,
            (Span(format.signed_interval(left.centre, left.low, left.high, "byte"), "strong"), Span(share, "small")),
        ])  # fmt: skip
    columns = ["environment", "fall of available memory", *_ACCOUNTED, "not explained"]
    caption = (
        "One more idle instance: the fall of available memory, what of it the PSS, the kernel's own count, the "
        "daemons' growth and the harness's own processes explain, and the rest [95 %]. It is the whole host's: what "
        "ran meanwhile is in the rest. So are pages of sockets, pipes and translated code, and reclaimable slab, half "
        "of which the kernel takes to be available."
    )
    return [table(caption, columns, rows)] if rows else []


def _middle(values: dict[int, float]) -> str:
    return format.quantity(interval(np.array(list(values.values()))).centre, "byte") if values else format.MISSING


SECTION = Section(60, "memory", "Memory", build)
