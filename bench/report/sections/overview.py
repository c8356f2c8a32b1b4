"""The overview: every cost of every environment against the baseline, on one log axis; and cost against reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.core.model import BAND
from isobench.layout import format
from isobench.layout.blocks import Figure, table
from isobench.report import charts, rules
from isobench.report.context import Section
from isobench.report.needs import needs_of, representatives, rows_for
from isobench.report.sections import _reach
from isobench.report.sections._shared import ESTIMATE_COLUMNS, alt_of, estimate_cells, style_of, verdict_counts

if TYPE_CHECKING:
    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Block
    from isobench.report.context import Context
    from isobench.report.needs import Need


def build(context: Context) -> list[Block]:
    return [*_ratios(context), *_reach.figures(context)]


def _ratios(context: Context) -> list[Block]:
    groups = [
        (need, [r for r in rows_for(context, need) if r.environment != context.baseline]) for need in needs_of(context)
    ]
    groups = [(need, [r for r in rows if r.ratio == r.ratio]) for need, rows in groups]
    rows = [row for _, found in groups for row in found]
    if not rows:
        return []
    shown = set(representatives(context))
    drawn = [
        charts.Interval(
            row.environment, need.title, row.ratio, row.ratio_low, row.ratio_high, style_of(context, row.environment)
        )
        for need, found in groups
        for row in found
        if row.environment in shown
    ]
    title = _title([(need, rules.nameable(context, found)) for need, found in groups])
    cells = [
        [f"{need.title} / {format.clean(row.environment, 60)}", *estimate_cells(context, row)]
        for need, found in groups
        for row in found
    ]
    data = table("Ratios to the baseline", ["cost / environment", *ESTIMATE_COLUMNS], cells)
    baseline = context.title(context.baseline)
    only = (
        "" if len(drawn) == len(rows) else " One environment of each kind is drawn; the numbers beneath are complete."
    )
    note = (
        f"Point: centre of the per-block ratios to {baseline}; line: 95 % interval; grey: {format.band(BAND)}. "
        f"Log axis, lower is better. {format.of_blocks(row.n for row in rows)}{only}"
    )
    picture = charts.forest(drawn, f"times {baseline}", BAND)
    return [Figure(title, picture, alt_of(title, data), note, data)]


def _title(groups: list[tuple[Need, list[Estimate]]]) -> str:
    rows = [row for _, found in groups for row in found]
    if not rows:
        return f"Costs against the baseline's, all of {rules.ASIDE}"
    text = verdict_counts(rows, "costs")
    top = rules.dearest(rows)
    words = {
        id(row): f"the {need.word} of {format.clean(row.environment, 40)}" for need, found in groups for row in found
    }
    names = [words[id(row)] for row in top]
    if len(names) == 1:
        return f"{text}; the most expensive is {names[0]}, {format.ratio(top[0].ratio)}"
    lowest = format.ratio(min(row.ratio for row in top)) if top else ""
    return f"{text}; the most expensive are {format.listing(names, 3)}, from {lowest}" if top else text


SECTION = Section(30, "overview", "Overview", build)
