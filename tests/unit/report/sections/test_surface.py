"""What a program inside can reach, as a table, and the claims that it answers."""

from __future__ import annotations

import msgspec

from isobench.report.blocks import Table, plain
from isobench.report.context import Context
from isobench.report.sections import claims, surface
from tests.unit.report.made import context, with_session

SEEN = {
    "process": {
        "kernel": "the host's",
        "capabilities": "40",
        "seccomp": "none",
        "writable": "/a, /b",
        "environment": "A",
    },
    "docker": {
        "kernel": "the host's",
        "capabilities": "14",
        "seccomp": "filter",
        "writable": "none",
        "environment": "B",
    },
    "tcg": {"kernel": "its own (6.1)", "capabilities": "41", "seccomp": "none", "writable": "/c", "environment": "C"},
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
    (table,) = surface.build(seen())
    assert isinstance(table, Table)
    rows = [[plain(cell.text) for cell in row] for row in table.rows]
    assert [row[6] for row in rows] == ["2", "0", "1"]
    assert [row[3] for row in rows] == ["40", "14", "41"]
    assert surface.build(context()) == []


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
