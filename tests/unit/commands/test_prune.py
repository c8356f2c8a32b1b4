"""`isobench prune` as a command: it removes nothing unless it is told how much to keep, and says what it did."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from isobench import cli
from isobench.results import store
from tests.unit.analysis.made import night, write_run
from tests.unit.test_json import obeys


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four runs under results/, the second with a label; a fifth is damaged."""
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it
    monkeypatch.chdir(tmp_path)
    paths = [write_run(Path("results"), started=night(number), seed=number) for number in range(5)]
    store.relabel(paths[1], label="before", tags=[])
    (paths[4] / store.SUITE).write_text("{")
    return tmp_path


def _files(here: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in here.glob("results/*/*/*")}


def test_it_says_what_it_did(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each run and what it freed; on standard error the damaged one."""
    assert cli.main(["prune", "--keep", "1"]) == 0
    said = capsys.readouterr()
    *lines, last = said.out.splitlines()
    assert [line.partition(":")[0].rpartition("/")[2] for line in lines] == ["20260101T020000Z", "20260103T020000Z"]
    assert re.fullmatch(r"2 runs pruned, .* freed; 1 older run with a label or tag kept", last)
    assert "left alone" in said.err and "20260105T020000Z" in said.err
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out.count("complete, pruned") == 2


def test_the_same_as_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the published schema, before and after."""
    for words, dry_run in ((["--dry-run"], True), ([], False)):
        assert cli.main(["prune", "results", "--keep", "2", "--json", *words]) == 0
        document = json.loads(capsys.readouterr().out)
        obeys(document, "prune")
        assert document["dry_run"] is dry_run and document["named"] == 1 and len(document["left_alone"]) == 1
        assert [one["run"] for one in document["pruned"]] == ["results/host/20260101T020000Z"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--keep"),
        (["--keep", "0"], "not a number of runs"),
        (["--keep", "-1"], "--keep"),
        (["--keep", "90d"], "not a number of runs"),
        (["--keep", "1", "nowhere"], "nowhere is not a folder"),
        (["--keep", "1", "results/host/20260101T020000Z"], "is a run, not a folder of runs"),
        (["--keep", "4"], "0 runs pruned"),
        (["--keep", "1", "--dry-run"], "would lose their values"),
    ],
)
def test_what_removes_nothing(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """No word about how much to keep, a wrong one, a wrong folder, nothing that is older, and a dry run."""
    before = _files(here)
    code = cli.main(["prune", *words])
    told = capsys.readouterr()
    assert said in told.out + told.err and code == (0 if said in told.out else 2)
    assert _files(here) == before


def test_a_pruned_run_is_shown_and_cannot_be_resumed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is that offered; a comparison says that its values are gone."""
    first = Path("results/host/20260101T020000Z")
    record = (first / store.SESSION).read_text()
    (first / store.SESSION).write_text(record.replace('"stopped": "blocks"', '"stopped": "interrupted"'))
    assert cli.main(["prune", "--keep", "2"]) == 0
    assert cli.main(["runs", "show", str(first)]) == 0
    shown = capsys.readouterr().out
    assert "the estimates remain" in shown and "--resume" not in shown
    assert cli.main(["run", "--resume", str(first)]) == 2
    assert "isobench prune removed them" in capsys.readouterr().err
    assert cli.main(["compare", str(first), "before"]) == 0
    assert "(pruned on " in capsys.readouterr().out
