"""A section of the report: blocks of text, tables and figures, from a run's results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.api import Paragraph, Section, table

if TYPE_CHECKING:
    from isobench.api import Block, Context

SCENARIO = "example-end"


def build(context: Context) -> list[Block]:
    """Without blocks, the report does not have this section."""
    rows = [[context.title(row.environment), f"{row.median * 1e6:.1f} µs"] for row in context.select(SCENARIO, "exit")]
    if not rows:
        return []
    return [
        Paragraph("How long a program takes to exit after it has been released."),
        table("Medians over all undisturbed blocks", ["environment", "exit"], rows),
    ]


SECTION = Section(order=82, anchor="example", title="The exit of a program", build=build)
