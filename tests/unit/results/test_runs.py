"""Which run somebody means, and what a run may be called."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from isobench.core.errors import UsageError
from isobench.results import runs, store
from tests.unit.analysis.made import write_run

NIGHTS = ("2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z", "2026-01-03T02:00:00Z")


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three runs under results/ of the current folder, oldest first."""
    monkeypatch.chdir(tmp_path)
    return [write_run(Path("results"), started=night) for night in NIGHTS]


def test_every_way_to_name_a_run(three: list[Path]) -> None:
    """A folder, its last part, latest, previous, the id, a label, a tag; a tag may name several."""
    store.relabel(three[0], label="before it all", tags=["old", "odd"])
    store.relabel(three[1], label="", tags=["old"])
    assert runs.one(str(three[0])) == three[0]
    assert runs.one(three[0].name) == three[0]
    assert (runs.one("previous"), runs.one("latest")) == (three[1], three[2])
    assert runs.one("before it all") == runs.one("odd") == three[0]
    assert runs.one(NIGHTS[2]) == three[2]
    assert runs.several("old") == three[:2]
    assert {"latest", "before it all", "odd", three[2].name} <= set(runs.names())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("old", "2 runs are called 'old'"),
        ("new", "no folder and no run under results/ is called 'new'"),
        ("", "called ''"),
    ],
)
def test_a_name_that_is_not_one_run(three: list[Path], name: str, said: str) -> None:
    """None or several where one is wanted: said with what can be done."""
    for path in three[:2]:
        store.relabel(path, label="old", tags=[])
    with pytest.raises(UsageError, match=said):
        runs.one(name)


def test_there_is_no_run(tmp_path: Path) -> None:
    """No results at all, or one only where the one before it is asked for."""
    with pytest.raises(UsageError, match="no run under"):
        runs.one("latest", tmp_path)
    write_run(tmp_path)
    with pytest.raises(UsageError, match="but one run"):
        runs.one("previous", tmp_path)


def test_a_name_changes_nothing_else(three: list[Path]) -> None:
    """The record is otherwise as it was, and the values too."""
    before = store.load(three[0])
    store.relabel(three[0], label="x", tags=["y"])
    after = store.load(three[0])
    assert after.series == before.series
    assert msgspec.structs.replace(after.session, label="", tags=[]) == before.session


def test_a_run_that_cannot_be_read_has_only_its_folders_name(three: list[Path]) -> None:
    """The others are found by theirs as before."""
    store.relabel(three[0], label="whole", tags=[])
    (three[1] / store.SESSION).write_text("{")
    assert runs.one("whole") == three[0] and runs.one(three[1].name) == three[1]
    assert three[1].name in set(runs.names())


@pytest.mark.parametrize(("text", "said"), [(" ", "is not a label"), ("a/b", "slashes"), ("latest", "reserved")])
def test_what_is_no_label(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        runs.label(text)


def test_a_label_is_without_blanks_round_it() -> None:
    assert runs.label(" before it all ") == "before it all"


def test_the_report_of_a_run_lies_as_the_run_does() -> None:
    """Below the host and the time, from wherever the run is named."""
    assert runs.report_folder(Path("results/host/../host/20260101T020000Z")) == runs.REPORTS / "host/20260101T020000Z"
