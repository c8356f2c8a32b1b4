"""System calls: a dot plot of the ratios and a table of every call in every environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from isobench.core.model import BAND
from isobench.layout import format
from isobench.layout.blocks import Block, Cell, Figure, Span, table
from isobench.report import charts
from isobench.report.context import Section, shade_of
from isobench.report.needs import representatives
from isobench.report.sections._shared import alt_of, sample_note, scenario_details, style_of, tabled, tally

if TYPE_CHECKING:
    from isobench.layout.blocks import Table, Text
    from isobench.report.context import Context

_TAIL = re.compile(r"[-.]p\d+$")
"""Metrics that are a percentile of another one's batches."""


def build(context: Context) -> list[Block]:
    blocks: list[Block] = []
    for scenario in [s for s in context.session.scenarios if s.name.startswith("syscall")]:
        metrics = [m for m in context.metrics_of(scenario.name) if not _TAIL.search(m)]
        if metrics:
            blocks += [_figure(context, scenario.name, metrics), *scenario_details(context, scenario.name)]
    return blocks


def _figure(context: Context, scenario: str, metrics: list[str]) -> Figure | Table:
    """A drawing of the ratios; only the table if there are none."""
    names = representatives(context)
    rows = []
    for metric in metrics:
        for row in context.select(scenario, metric):
            if row.environment in names and row.environment != context.baseline and row.ratio == row.ratio:
                label = format.clean(row.environment, 40)
                rows.append(
                    charts.Interval(
                        label, metric, row.ratio, row.ratio_low, row.ratio_high, style_of(context, row.environment)
                    )
                )
    data = _heat(context, scenario, metrics)
    if not rows:
        return data
    rows_of_all = [row for metric in metrics for row in context.select(scenario, metric)]
    title = tally(context, rows_of_all, "system-call costs")
    baseline = context.title(context.baseline)
    note = (
        f"Point: centre of the per-block ratios to {baseline}; line: 95 % interval; grey: {format.band(BAND)}. "
        f"Log axis, lower is better. {sample_note(context, scenario, metrics)}"
    )
    picture = charts.dots(rows, f"times {baseline}", BAND)
    return Figure(title, picture, alt_of(title, data), note, data)


def _heat(context: Context, scenario: str, metrics: list[str]) -> Table:
    names = tabled(context, context.measured({r.environment for m in metrics for r in context.select(scenario, m)}))
    rows: list[list[Cell | Text]] = []
    for metric in metrics:
        cells: list[Cell | Text] = [metric]
        for name in names:
            row = context.find(scenario, metric, name)
            if row is None:
                cells.append(format.MISSING)
            elif name == context.baseline:
                cells.append((Span(format.cost(row), "strong"),))
            else:
                cells.append(
                    Cell((Span(format.cost(row), "strong"), Span(format.against(row), "small")), shade_of(row))
                )
        rows.append(cells)
    caption = "Median time of one operation, and its ratio to the baseline; a deeper colour means a higher ratio"
    return table(caption, ["operation", *(format.clean(n, 60) for n in names)], rows)


SECTION = Section(70, "syscalls", "System calls", build)
