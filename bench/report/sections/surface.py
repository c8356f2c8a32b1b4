"""What a program inside can still reach: the other side of a cheap boundary, as seen from inside each environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.report import format
from isobench.report.blocks import Block, table
from isobench.report.context import Section
from isobench.report.sections._shared import name_cell

if TYPE_CHECKING:
    from isobench.report.blocks import Cell, Text
    from isobench.report.context import Context

_COLUMNS = {
    "kernel": "kernel",
    "user": "whose root",
    "capabilities": "capabilities",
    "seccomp": "seccomp",
    "mount": "may mount",
    "writable": "kernel files it can open for writing",
    "devices": "devices beyond the usual",
    "processes": "processes it sees",
    "setuid": "set-uid programs",
}
"""Fact of the surface scenario -> the column's title."""
_LISTS = frozenset({"writable", "devices"})
"""Facts that name things, of which the table shows the number."""


def build(context: Context) -> list[Block]:
    rows: list[list[Cell | Text]] = []
    for record in context.session.environments:
        if "surface.kernel" in record.facts:
            cells = [_shown(record.facts.get(f"surface.{fact}", ""), fact in _LISTS) for fact in _COLUMNS]
            rows.append([name_cell(context, record.name), *cells])
    if not rows:
        return []
    caption = (
        "Seen by the probe inside, of fixed lists that stand in “How it was measured” with the names behind the "
        "numbers. A rung without a /proc of its own sees none of the kernel's files, and could mount it where it may "
        "mount; a guest's files and devices are those of its own kernel."
    )
    return [table(caption, ["environment", *_COLUMNS.values()], rows, left=2)]


def _shown(text: str, is_list: bool) -> str:
    if is_list:
        return "0" if text == "none" else str(len(text.split(", ")))
    return format.clean(text, 60) or format.MISSING


SECTION = Section(105, "surface", "What a program inside can still reach", build, "Reach")
