"""What a program inside can reach, as a table, and the claims that it answers."""

from __future__ import annotations

import msgspec

from isobench.layout.blocks import Block, Figure, Items, Paragraph, Table, plain
from isobench.report.context import Context
from isobench.report.sections import _reach, claims, overview, surface
from tests.unit.report.made import context, with_session


def calls(count: int, profile: str = "", **names: str) -> dict[str, str]:
    """The facts about system calls."""
    told = dict.fromkeys(("denied", "killed", "refused", "absent", "unknown"), "none") | names
    facts = {f"calls.{what}": listed for what, listed in told.items()} | {"calls": str(count), "calls.known": "368"}
    return facts | ({"calls.profile": profile} if profile else {})


SEEN = {
    "process": {
        "kernel": "the host's",
        "capabilities": "40",
        "seccomp": "none",
        "writable": "/a, /b",
        "readable": "/r",
        "environment": "A",
        **calls(340, absent="iopl, ioperm"),
    },
    "docker": {
        "kernel": "the host's",
        "capabilities": "14",
        "seccomp": "filter",
        "writable": "none",
        "environment": "B",
        **calls(285, denied="mount, bpf", refused="syslog", absent="iopl", profile="lets through io_uring_setup"),
    },
    "tcg": {
        "kernel": "its own (6.1)",
        "capabilities": "41",
        "seccomp": "none",
        "writable": "/c",
        "environment": "C",
        **calls(342, absent="iopl"),
    },
}


def seen() -> Context:
    """A run in which the surface scenario looked at three environments, and that left nothing behind."""
    made = context()
    records = [
        msgspec.structs.replace(
            record,
            facts={f"surface.{key}": text for key, text in SEEN.get(record.name, {}).items()},
            opened_seconds=0.5,
        )
        for record in made.session.environments
    ]
    session = msgspec.structs.replace(made.session, environments=records, left_behind=[])
    return with_session(made, session)


def test_lists_are_counted_and_the_rest_is_told() -> None:
    """One row for each environment that was looked at; without the scenario there is no section."""
    rows = _rows(surface.build(seen())[0])
    assert [row[6] for row in rows] == ["2", "0", "1"]
    assert [row[7] for row in rows] == ["1", "–", "–"]
    assert [row[3] for row in rows] == ["40", "14", "41"]
    assert surface.build(context()) == []


def _rows(block: Block) -> list[list[str]]:
    assert isinstance(block, Table)
    return [[plain(cell.text) for cell in row] for row in block.rows]


def test_system_calls_are_counted_by_what_became_of_them() -> None:
    """Of each environment of which it is known; nobody was killed, so there is no such column."""
    _, calls, head, differs = surface.build(seen())
    assert _rows(calls) == [
        ["process", "the host's", "340 of 368", "0", "0", "2"],
        ["docker", "the host's", "285 of 368", "2", "1", "1"],
        ["tcg", "its own", "342 of 368", "0", "0", "1"],
    ]
    assert isinstance(calls, Table) and "killed for" not in [column.title for column in calls.columns]
    assert isinstance(head, Paragraph) and isinstance(differs, Items)
    assert [plain(entry) for entry in differs.entries] == ["docker: lets through io_uring_setup."]


def test_the_cost_is_drawn_over_the_reach() -> None:
    """The title speaks of those that share the host's kernel; a guest's calls are marked as those of its own."""
    (figure,) = _reach.figures(seen())
    assert isinstance(figure, Figure)
    assert [block.title for block in overview.build(seen()) if isinstance(block, Figure)][-1] == figure.title
    assert figure.title == (
        "The fewest system calls of the host's kernel are within reach in docker: 285; the most are 340"
    )
    assert "tcg (own kernel)" in figure.picture.light and "docker (own kernel)" not in figure.picture.light
    assert [row[:3] for row in _rows(figure.data)][1] == ["docker", "the host's", "285"]


MADE = {
    "process": {"surface.host_calls": "50", "surface-functions.unknown": "the kernel does not let them be traced"},
    "docker": {
        "surface.host_calls": "55",
        "surface-functions.functions": "at least 1900",
        "surface.host_work.missing": "mount",
    },
    "tcg": {"surface.host_calls": "20"},
}


def _with_host() -> Context:
    made = seen()
    records = [
        msgspec.structs.replace(one, facts=one.facts | MADE.get(one.name, {})) for one in made.session.environments
    ]
    return with_session(made, msgspec.structs.replace(made.session, environments=records))


def test_what_the_host_does_is_told_and_drawn() -> None:
    """What is not known with its reason. An emulated guest is drawn, and not named in the title."""
    host = surface.build(_with_host())[-1]
    assert _rows(host) == [
        ["process", "50", "not known: the kernel does not let them be traced", "–"],
        ["docker", "55", "at least 1900", "mount"],
        ["tcg", "20", "–", "–"],
    ]
    figure = _reach.figures(_with_host())[1]
    assert isinstance(figure, Figure)
    assert figure.title == (
        "The same work takes the fewest different system calls of the host's kernel in process: 50; the most are 55"
    )
    assert [row[2] for row in _rows(figure.data)] == ["50", "55", "20"]
    drawbacks = claims.CLAIMS[-1].answer(_with_host())
    assert "the host's kernel for the same work: process 50, docker 55 and tcg 20" in drawbacks.words


def test_what_engines_demand_of_an_image_is_told_once_for_those_alike() -> None:
    """Last in the section; control characters of a settings file do not reach the page."""
    made = seen()
    told = {"process": "", "docker": "any image is accepted", "tcg": "only\x1b[31m signed ones"}
    records = [
        msgspec.structs.replace(one, facts=one.facts | {"signatures": told.get(one.name, "any image is accepted")})
        for one in made.session.environments
    ]
    *_, head, said = surface.build(with_session(made, msgspec.structs.replace(made.session, environments=records)))
    assert isinstance(head, Paragraph) and plain(head.text).startswith("Whether an image has to be signed")
    assert isinstance(said, Items)
    lines = [plain(entry) for entry in said.entries]
    alike = [one.name for one in made.session.environments if one.name not in ("process", "tcg")]
    assert all(name in lines[0] for name in alike) and lines[0].endswith(": any image is accepted.")
    assert len(lines) == 2 and lines[1].startswith("tcg: only") and "\x1b" not in lines[1]


def test_numbers_that_are_none_are_not_drawn() -> None:
    """A record may say anything."""
    made = seen()
    records = [
        msgspec.structs.replace(one, facts={**one.facts, "surface.calls": "many"}) for one in made.session.environments
    ]
    odd = with_session(made, msgspec.structs.replace(made.session, environments=records))
    assert not _reach.figures(odd) and not any(isinstance(block, Figure) for block in surface.build(odd))


def test_what_confines_the_process_outside_is_told() -> None:
    """Or why it is not known; what the program sees of the host is counted."""
    made = seen()
    outside = {
        "process": {"outside.unknown": "no room", "sockets": "/run/a, /run/b", "mounted": "/ (ext4)"},
        "tcg": {
            "outside.program": "qemu-system-x86", "outside.user": "libvirt-qemu", "outside.capabilities": "0",
            "outside.seccomp": "filter", "outside.no_new_privs": "yes", "outside.label": "libvirt-1 (enforce)",
            "sockets": "none", "mounted": "none",
        },
    }  # fmt: skip
    records = [
        msgspec.structs.replace(
            one, facts=one.facts | {f"surface.{key}": text for key, text in outside.get(one.name, {}).items()}
        )
        for one in made.session.environments
    ]
    blocks = surface.build(with_session(made, msgspec.structs.replace(made.session, environments=records)))
    assert _rows(blocks[1]) == [
        ["process", "no room", "–", "–", "–", "–", "–", "2", "1"],
        ["tcg", "qemu-system-x86", "libvirt-qemu", "0", "filter", "yes", "libvirt-1 (enforce)", "0", "0"],
    ]


def test_claims_are_answered_from_what_was_seen() -> None:
    """State, privileges, the boundary and the clean host have words; what is open names the run that would tell."""
    answers = {claim.said.split()[0]: claim.answer(seen()) for claim in claims.CLAIMS}
    assert answers["Environment"].words == "environment: process A, docker B and tcg C"
    assert "capabilities held: process 40 and docker 14" in answers["Capabilities,"].words
    assert "docker the host's and tcg its own (6.1)" in answers["A"].words
    drawbacks = claims.CLAIMS[-1].answer(seen())
    assert "kernel files it can open for writing: process 2, docker 0 and tcg 1" in drawbacks.words
    clean = claims.CLAIMS[-2].answer(seen())
    assert "left behind after the run: none" in clean.words and "docker 500 ms" in clean.words
    (_, table) = claims.build(context())
    assert isinstance(table, Table)
    words = [plain(row[2].text) for row in table.rows if plain(row[1].text) == "open"]
    assert all("isobench" in text for text in words) and words
