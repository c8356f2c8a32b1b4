"""What a program inside can still reach: the other side of a cheap boundary, as seen from inside each environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.report import charts, format
from isobench.report.blocks import Block, Figure, Items, Paragraph, table
from isobench.report.context import Section
from isobench.report.needs import representatives
from isobench.report.sections._shared import alt_of, name_cell, sample_note, style_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.report.blocks import Cell, Text
    from isobench.report.context import Context
    from isobench.results.record import EnvironmentRecord

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
    seen = table(caption, ["environment", *_COLUMNS.values()], rows, left=3)
    return [*_cost_over_reach(context), seen, *_calls(context), *_against_docker(context)]


_OUTCOMES = {
    "denied": "denied by a filter",
    "killed": "killed for",
    "refused": "refused by the kernel",
    "absent": "absent",
    "unknown": "not known",
}
"""Fact of what became of system calls -> the column's title; a column without any is left out."""
_OWN_KERNEL = " (own kernel)"


class _Reach(NamedTuple):
    """How many system calls an environment lets through, of how many."""

    record: EnvironmentRecord
    calls: int
    known: int

    @property
    def is_the_hosts(self) -> bool:
        return self.record.facts.get("surface.kernel") == "the host's"


def _reaches(context: Context) -> list[_Reach]:
    """Of every environment of which it is known."""
    found = []
    for record in context.session.environments:
        count, known = (record.facts.get(f"surface.{fact}", "") for fact in ("calls", "calls.known"))
        if all(re.fullmatch("[0-9]{1,6}", number) for number in (count, known)):
            found.append(_Reach(record, int(count), int(known)))
    return found


def _calls(context: Context) -> list[Block]:
    """What became of the system calls in each environment."""
    reaches = _reaches(context)
    if not reaches:
        return []
    numbers = [
        {fact: _shown(reach.record.facts.get(f"surface.calls.{fact}", ""), is_list=True) for fact in _OUTCOMES}
        for reach in reaches
    ]
    facts = [fact for fact in _OUTCOMES if any(row[fact] != "0" for row in numbers)]
    rows: list[list[Cell | Text]] = [
        [
            name_cell(context, reach.record.name),
            "the host's" if reach.is_the_hosts else "its own",
            f"{reach.calls} of {reach.known}",
            *(row[fact] for fact in facts),
        ]
        for reach, row in zip(reaches, numbers, strict=True)
    ]
    left_out = format.clean(reaches[0].record.facts.get("surface.calls.left_out", ""), 200)
    caption = (
        "The system calls that libseccomp knows, each called once with arguments that do nothing. Those that the "
        "kernel's own code answered are let through; most answers are errors. The seccomp filter is also queried "
        "alone, to distinguish its refusals from the kernel's. Left out, because they cannot be called harmlessly: "
        f"{left_out}."
    )
    return [table(caption, ["environment", "kernel", "let through", *(_OUTCOMES[f] for f in facts)], rows, left=2)]


def _against_docker(context: Context) -> list[Block]:
    """In what each filter differs from Docker's documented default profile."""
    said: list[Text] = [
        f"{format.clean(record.name, 60)}: {format.clean(profile, 600)}."
        for record in context.session.environments
        if (profile := record.facts.get("surface.calls.profile", ""))
    ]
    head = "What seccomp filters deny, compared with the documentation of Docker's default profile:"
    return [Paragraph(head), Items(said)] if said else []


def _cost_over_reach(context: Context) -> list[Block]:
    """What a start costs, over the system calls within reach."""
    shown = set(representatives(context))
    drawn = [
        (reach, row)
        for reach in _reaches(context)
        if reach.record.name in shown and (row := context.find(*_COST, reach.record.name)) is not None
    ]
    if len(drawn) < 2:
        return []
    series = [
        charts.Series(
            f"{reach.record.name}{'' if reach.is_the_hosts else _OWN_KERNEL}",
            [float(reach.calls)],
            [row.median],
            style_of(context, reach.record.name),
            [row.q25],
            [row.q75],
        )
        for reach, row in drawn
    ]
    cells: list[list[Cell | Text]] = [
        [
            name_cell(context, reach.record.name),
            "the host's" if reach.is_the_hosts else "its own",
            str(reach.calls),
            format.cost(row),
        ]
        for reach, row in drawn
    ]
    title = _title([reach for reach, _ in drawn])
    data = table(
        "Startup over the system calls let through", ["environment", "kernel", "let through", "startup"], cells
    )
    note = (
        "Median and quartiles of the time from request to first byte. Of an environment with a kernel of its own "
        "(a guest, gVisor) the calls are those of that kernel: what it asks of the host's in turn is not counted. "
        f"{sample_note(context, _COST[0], [_COST[1]])}"
    )
    picture = charts.points(series, "system calls let through", "second", lines=True)
    return [Figure(title, picture, alt_of(title, data), note, data)]


_COST = ("startup", "ready")


def _title(reaches: Sequence[_Reach]) -> str:
    """The fewest and the most of those that share the host's kernel; counts do not vary."""
    shared = [reach for reach in reaches if reach.is_the_hosts]
    if not shared:
        return "What a start costs, over the system calls within reach"
    least, most = (end(reach.calls for reach in shared) for end in (min, max))
    names = [format.clean(reach.record.name, 40) for reach in shared if reach.calls == least]
    if least == most:
        return f"Wherever the host's kernel is shared, {least} of its system calls are within reach"
    return (
        f"The fewest system calls of the host's kernel are within reach in {format.listing(names, 3)}: {least}; "
        f"the most are {most}"
    )


def _shown(text: str, is_list: bool) -> str:
    if is_list:
        return "0" if text == "none" else str(len(text.split(", ")))
    return format.clean(text, 60) or format.MISSING


SECTION = Section(105, "surface", "What a program inside can still reach", build, "Reach")
