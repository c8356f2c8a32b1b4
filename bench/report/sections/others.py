"""Other costs: what no other section shows, so that whatever was measured has a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.report.context import Section
from isobench.report.sections._shared import whole_scenario

if TYPE_CHECKING:
    from isobench.layout.blocks import Block
    from isobench.report.context import Context


def build(context: Context) -> list[Block]:
    """What is left is known when all other sections are built."""
    return []


def complete(context: Context, shown: set[str]) -> list[Block]:
    """The scenarios, or the metrics of one, that are shown nowhere: a plug-in's for one."""
    blocks: list[Block] = []
    for scenario in dict.fromkeys(row.scenario for row in context.estimates):
        metrics = context.metrics_of(scenario)
        rest = [metric for metric in metrics if f"{scenario}.{metric}" not in shown]
        blocks += whole_scenario(context, scenario, None if rest == metrics else rest)
    return blocks


SECTION = Section(85, "others", "Other costs", build, "Others", complete)
