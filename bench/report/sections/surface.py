"""What a program inside can still reach, as seen from inside each environment: a cheap boundary may be a weak one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.layout import format
from isobench.layout.blocks import Block, Items, Paragraph, table
from isobench.report.context import Section
from isobench.report.sections._reach import reaches
from isobench.report.sections._shared import SEEN_LISTS, name_cell, seen_cell

if TYPE_CHECKING:
    from isobench.layout.blocks import Cell, Text
    from isobench.report.context import Context

_COLUMNS = {
    "kernel": "kernel",
    "user": "user",
    "capabilities": "capabilities",
    "seccomp": "seccomp",
    "mount": "may mount",
    "writable": "writable kernel files",
    "readable": "readable kernel files",
    "devices": "unusual devices",
    "processes": "visible processes",
    "setuid": "set-uid files",
}
"""Fact of the surface scenario -> the column's title."""


def build(context: Context) -> list[Block]:
    rows: list[list[Cell | Text]] = []
    for record in context.session.environments:
        if "surface.kernel" in record.facts:
            cells = [
                seen_cell(record.facts.get(f"surface.{fact}", ""), is_list=fact in SEEN_LISTS) for fact in _COLUMNS
            ]
            rows.append([name_cell(context, record.name), *cells])
    if not rows:
        return []
    caption = (
        "What the probe sees from inside. It checks fixed lists; the names behind the numbers are in “How it was "
        "measured”. A rung without /proc sees none of the kernel's files, but could mount /proc if it may mount. A "
        "guest's files and devices are those of its own kernel."
    )
    seen = table(caption, ["environment", *_COLUMNS.values()], rows, left=3)
    told = [*_confined(context), *_calls(context), *_against_docker(context), *_host(context)]
    return [seen, *told, *_signatures(context)]


_CONFINED = {
    "outside.program": "program",
    "outside.user": "user",
    "outside.capabilities": "capabilities",
    "outside.seccomp": "seccomp",
    "outside.no_new_privs": "no_new_privs",
    "outside.label": "security label",
    "sockets": "sockets inside",
    "mounted": "the host's file systems inside",
}


def _confined(context: Context) -> list[Block]:
    """What holds the process behind each instance, and which ways out it sees."""
    rows: list[list[Cell | Text]] = []
    for record in context.session.environments:
        facts = {key: record.facts.get(f"surface.{key}", "") for key in ("outside.unknown", *_CONFINED)}
        if any(facts.values()):
            reason = format.clean(facts["outside.unknown"], 80)
            cells: list[Cell | Text] = [reason or seen_cell(facts["outside.program"], is_list=False)]
            cells += [seen_cell(facts[key], is_list=key in SEEN_LISTS) for key in list(_CONFINED)[1:]]
            rows.append([name_cell(context, record.name), *cells])
    caption = (
        "How the host confines the process behind an instance: the program itself, or the VMM that runs it (QEMU: its "
        "user, its sandbox, the label of sVirt). The last two columns count what the program inside sees: sockets of "
        "servers in /run, /tmp and /dev, and mounted file systems of a disk or of another machine that are not a "
        "guest's own."
    )
    return [table(caption, ["environment", *_CONFINED.values()], rows, left=3)] if rows else []


_OUTCOMES = {
    "denied": "denied by a filter",
    "killed": "killed for",
    "refused": "refused by the kernel",
    "absent": "absent",
    "unknown": "not known",
}
"""Fact about the outcome of system calls -> the column's title; an empty column is left out."""


def _calls(context: Context) -> list[Block]:
    """The outcomes of the system calls in each environment."""
    known = reaches(context)
    if not known:
        return []
    numbers = [
        {fact: seen_cell(reach.record.facts.get(f"surface.calls.{fact}", ""), is_list=True) for fact in _OUTCOMES}
        for reach in known
    ]
    facts = [fact for fact in _OUTCOMES if any(row[fact] != "0" for row in numbers)]
    rows: list[list[Cell | Text]] = [
        [
            name_cell(context, reach.record.name),
            reach.kernel,
            f"{reach.calls} of {format.clean(reach.record.facts.get('surface.calls.known', ''), 6) or format.MISSING}",
            *(row[fact] for fact in facts),
        ]
        for reach, row in zip(known, numbers, strict=True)
    ]
    left_out = format.clean(known[0].record.facts.get("surface.calls.left_out", ""), 200)
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


def _signatures(context: Context) -> list[Block]:
    """Whether each engine accepts unsigned images, as it is configured."""
    told: dict[str, list[str]] = {}
    for record in context.session.environments:
        if words := format.clean(record.facts.get("signatures", ""), 600):
            told.setdefault(words, []).append(format.clean(record.name, 40))
    head = (
        "Whether an image has to be signed, as the engine is configured here. An engine that accepts any image runs "
        "whatever its registry hands out, also if somebody has replaced the image there:"
    )
    said: list[Text] = [f"{format.listing(names)}: {words}." for words, names in told.items()]
    return [Paragraph(head), Items(said)] if said else []


def _told(fact: str, reason: str) -> str:
    """A number, or why it is not known; neither where nobody has asked."""
    return format.clean(fact or (f"not known: {reason}" if reason else format.MISSING), 160)


_HOST = (
    ("surface.host_calls", "surface.host_calls.unknown", "system calls of the host"),
    ("surface-functions.functions", "surface-functions.unknown", "kernel functions of the host"),
)
"""A fact, the fact that says why it is not known, and the column's title."""


SECTION = Section(105, "surface", "What a program inside can still reach", build, "Reach")
