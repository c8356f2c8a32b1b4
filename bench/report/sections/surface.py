"""What a program inside can still reach, as seen from inside each environment: a cheap boundary may be a weak one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format
from isobench.layout.blocks import Block, Figure, Items, Paragraph, table
from isobench.report import charts, rules
from isobench.report.context import Section
from isobench.report.needs import representatives
from isobench.report.sections._shared import alt_of, name_cell, sample_note, style_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.layout.blocks import Cell, Text
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
"""Facts that list names; the table shows their number."""


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
    figures = [*_cost_over_reach(context, _LET_THROUGH), *_cost_over_reach(context, _MADE)]
    return [*figures, seen, *_calls(context), *_against_docker(context), *_host(context)]


_OUTCOMES = {
    "denied": "denied by a filter",
    "killed": "killed for",
    "refused": "refused by the kernel",
    "absent": "absent",
    "unknown": "not known",
}
"""Fact about the outcome of system calls -> the column's title; an empty column is left out."""
_OWN_KERNEL = " (own kernel)"


class _Reach(NamedTuple):
    """The number of system calls of one kind in an environment."""

    record: EnvironmentRecord
    calls: int

    @property
    def is_the_hosts(self) -> bool:
        return self.record.facts.get("surface.kernel") == "the host's"

    @property
    def kernel(self) -> str:
        return "the host's" if self.is_the_hosts else "its own"


def _reaches(context: Context, fact: str = "calls") -> list[_Reach]:
    """The number of every environment for which it is known."""
    told = [(record, record.facts.get(f"surface.{fact}", "")) for record in context.session.environments]
    return [_Reach(record, int(count)) for record, count in told if re.fullmatch("[0-9]{1,6}", count)]


def _calls(context: Context) -> list[Block]:
    """The outcomes of the system calls in each environment."""
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
            reach.kernel,
            f"{reach.calls} of {format.clean(reach.record.facts.get('surface.calls.known', ''), 6) or format.MISSING}",
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
    """The differences of each filter from Docker's documented default profile."""
    said: list[Text] = [
        f"{format.clean(record.name, 60)}: {format.clean(profile, 600)}."
        for record in context.session.environments
        if (profile := record.facts.get("surface.calls.profile", ""))
    ]
    head = "What seccomp filters deny, compared with the documentation of Docker's default profile:"
    return [Paragraph(head), Items(said)] if said else []


class _Drawn(NamedTuple):
    """A figure of the cost of a start over a number of system calls: the fact on its x axis, and its words."""

    fact: str
    axis: str
    of_own_kernels: str
    """What is counted in an environment with a kernel of its own."""
    title: str
    """If the counts differ: the fewest, with the environments, and the most."""
    same: str
    """If all counts are equal."""


_LET_THROUGH = _Drawn(
    "calls",
    "system calls let through",
    "the calls are those of that kernel; the host's system calls that it makes are not counted",
    "The fewest system calls of the host's kernel are within reach in {}: {}; the most are {}",
    "Wherever the host's kernel is shared, {} of its system calls are within reach",
)
_MADE = _Drawn(
    "host_calls",
    "different system calls of the host's kernel for the same work",
    "they are those that this kernel or its VMM makes",
    "The same work takes the fewest different system calls of the host's kernel in {}: {}; the most are {}",
    "The same work takes {} different system calls of the host's kernel in every environment",
)


def _cost_over_reach(context: Context, what: _Drawn) -> list[Block]:
    """The cost of a start over a number of system calls."""
    shown = set(representatives(context))
    found = [
        (reach, row)
        for reach in _reaches(context, what.fact)
        if reach.record.name in shown and (row := context.find(*_COST, reach.record.name)) is not None
    ]
    if len(found) < 2:
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
        for reach, row in found
    ]
    cells: list[list[Cell | Text]] = [
        [name_cell(context, reach.record.name), reach.kernel, str(reach.calls), format.cost(row)]
        for reach, row in found
    ]
    title = _title([reach for reach, _ in found if rules.is_choice(context, reach.record.name)], what)
    data = table(f"Startup over the {what.axis}", ["environment", "kernel", what.axis, "startup"], cells)
    note = (
        "Median and quartiles of the time from request to first byte. In an environment with a kernel of its own "
        f"(a guest, gVisor), {what.of_own_kernels}. {sample_note(context, _COST[0], [_COST[1]])}"
    )
    picture = charts.points(series, what.axis, "second", lines=True)
    return [Figure(title, picture, alt_of(title, data), note, data)]


_COST = ("startup", "ready")


def _title(reaches: Sequence[_Reach], what: _Drawn) -> str:
    """The fewest and the most of those that may be named; counts do not vary. Of the calls let through, only those of
    environments that share the host's kernel count, since another kernel's calls are not the host's."""
    counted = [reach for reach in reaches if reach.is_the_hosts or what is _MADE]
    if not counted:
        return f"What a start costs, over {what.axis}"
    least, most = (end(reach.calls for reach in counted) for end in (min, max))
    names = [format.clean(reach.record.name, 40) for reach in counted if reach.calls == least]
    return what.same.format(least) if least == most else what.title.format(format.listing(names, 3), least, most)


def _host(context: Context) -> list[Block]:
    """What the host's kernel does for the same work in each environment."""
    rows: list[list[Cell | Text]] = []
    for record in context.session.environments:
        facts, reasons = ([record.facts.get(one[place], "") for one in _HOST] for place in (0, 1))
        if any((*facts, *reasons)):
            told = [_told(fact, reason) for fact, reason in zip(facts, reasons, strict=True)]
            missing = record.facts.get("surface.host_work.missing", "")
            rows.append([name_cell(context, record.name), *told, format.clean(missing, 120) or format.MISSING])
    if not rows:
        return []
    caption = (
        "What the host's kernel executes while the probe in an instance does a fixed piece of work (operations on "
        "files, memory, processes, signals and sockets), each counted once. The instance's processes on the "
        "host, and those that serve it alone, are traced; shared daemons, kernel threads and interrupts are not."
    )
    return [table(caption, ["environment", *(one[2] for one in _HOST), "impossible there"], rows, left=4)]


def _told(fact: str, reason: str) -> str:
    """A number, or why it is not known; neither where nobody has asked."""
    return format.clean(fact or (f"not known: {reason}" if reason else format.MISSING), 160)


_HOST = (
    ("surface.host_calls", "surface.host_calls.unknown", "system calls of the host"),
    ("surface-functions.functions", "surface-functions.unknown", "kernel functions of the host"),
)
"""A fact, the fact that says why it is not known, and the column's title."""


def _shown(text: str, is_list: bool) -> str:
    if is_list:
        return "0" if text == "none" else str(len(text.split(", ")))
    return format.clean(text, 60) or format.MISSING


SECTION = Section(105, "surface", "What a program inside can still reach", build, "Reach")
