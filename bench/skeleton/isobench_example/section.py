"""A section of the report: blocks of text, tables and figures, out of what a run measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.api import Paragraph, Section, table

if TYPE_CHECKING:
    from isobench.api import Block, Context

SCENARIO = "example-end"


def build(context: Context) -> list[Block]:
    """Nothing where the run has nothing of it: the report then has no such section."""
    rows = [[context.title(row.environment), f"{row.median * 1e6:.1f} µs"] for row in context.select(SCENARIO, "exit")]
    if not rows:
        return []
    return [
        Paragraph("How long a program takes to end, from the word to finish."),
        table("Medians of all blocks that count", ["environment", "end"], rows),
    ]


SECTION = Section(order=82, anchor="example", title="The end of a program", build=build)
