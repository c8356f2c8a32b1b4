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
    "user": "user",
    "capabilities": "capabilities",
    "seccomp": "seccomp",
    "mount": "may mount",
    "writable": "writable kernel files",
    "devices": "unusual devices",
    "processes": "visible processes",
    "setuid": "set-uid files",
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
        "What the probe sees from inside. It checks fixed lists; the names behind the numbers are in “How it was "
        "measured”. A rung without /proc sees none of the kernel's files, but could mount /proc if it may mount. A "
        "guest's files and devices are those of its own kernel."
    )
    return [table(caption, ["environment", *_COLUMNS.values()], rows, left=3)]


def _shown(text: str, is_list: bool) -> str:
    if is_list:
        return "0" if text == "none" else str(len(text.split(", ")))
    return format.clean(text, 60) or format.MISSING


SECTION = Section(105, "surface", "What a program inside can still reach", build, "Reach")
