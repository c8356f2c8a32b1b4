"""Other costs: those that no other section shows, so that everything that was measured has a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.report.context import Section
from isobench.report.sections._shared import whole_scenario

if TYPE_CHECKING:
    from isobench.layout.blocks import Block
    from isobench.report.context import Context


def build(context: Context) -> list[Block]:
    """No blocks: what is left is known once all other sections are built (`complete`)."""
    return []


def complete(context: Context, shown: set[str]) -> list[Block]:
    """The scenarios, or their metrics, that no other section shows, such as a plug-in's."""
    blocks: list[Block] = []
    for scenario in dict.fromkeys(row.scenario for row in context.estimates):
        metrics = context.metrics_of(scenario)
        rest = [metric for metric in metrics if f"{scenario}.{metric}" not in shown]
        blocks += whole_scenario(context, scenario, None if rest == metrics else rest)
    return blocks


SECTION = Section(85, "others", "Other costs", build, "Others", complete)
