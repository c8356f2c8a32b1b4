"""What `isobench runs` does with the runs that somebody names."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import msgspec
import pytest

from isobench import cli
from isobench.commands import completion
from isobench.export import bundle
from isobench.results import runs, store
from isobench.results.journal import Journal
from tests.unit.analysis.made import session, write_run
from tests.unit.test_json import obeys

NIGHTS = ("2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z", "2026-01-03T02:00:00Z")
HOSTILE = "<script>|*x*`\x1b]0;a\x07\u202e=cmd()"
"""What no label that isobench takes can be, but a record from elsewhere can have."""


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three runs under results/ of the current folder, oldest first."""
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it
    monkeypatch.chdir(tmp_path)
    return [write_run(Path("results"), started=night) for night in NIGHTS]


@pytest.mark.parametrize(
    "words",
    [
        ("report", "RUN", "--compare", "previous", "--out", "page"),
        ("export", "RUN", "--to", "csv", "--out", "run.csv"),
        ("compare", "previous", "RUN"),
        ("compare", "RUN,20260101T020000Z", "previous"),
        ("runs", "show", "RUN"),
    ],
)
@pytest.mark.parametrize("name", ["latest", "mine", "20260103T020000Z"])
def test_every_command_that_takes_a_run_takes_its_names(three: list[Path], words: tuple[str, ...], name: str) -> None:
    """latest, a label and the time mean the same run everywhere."""
    store.relabel(three[2], label="mine", tags=[])
    assert cli.main([word.replace("RUN", name) for word in words]) == 0


def test_a_label_of_several_runs_is_a_side_of_a_comparison(
    three: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """As many runs as have it."""
    for path in three[:2]:
        store.relabel(path, label="", tags=["before"])
    assert cli.main(["compare", "before", "latest", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [len(document[side]) for side in "ab"] == [2, 1]


def test_they_are_listed_shown_named_and_tagged(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """For people and as data of the published schemas."""
    assert cli.main(["runs", "name", "latest", "mine", "--json"]) == 0
    obeys(json.loads(capsys.readouterr().out), "runs")
    assert cli.main(["runs", "tag", "mine", "a", "b"]) == 0
    assert capsys.readouterr().out == f"{three[2]}: mine, #a, #b\n"
    assert cli.main(["runs", "tag", "mine", "a", "--remove"]) == 0
    capsys.readouterr()
    assert cli.main(["runs", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    obeys(document, "runs")
    assert [(row["run"], row["label"], row["tags"]) for row in document["runs"]] == [
        (str(three[0]), "", []), (str(three[1]), "", []), (str(three[2]), "mine", ["b"])
    ]  # fmt: skip
    assert cli.main(["runs"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed[2:]] == [path.name for path in three] and "mine, #b" in listed[-1]
    assert cli.main(["runs", "show", "mine", "--json"]) == 0
    obeys(json.loads(capsys.readouterr().out), "runs-show")
    assert cli.main(["runs", "show"]) == 0
    shown = capsys.readouterr().out
    assert "label         mine" in shown and "state         complete: the number of blocks was reached" in shown
    assert cli.main(["runs", "name", "mine", "--remove"]) == 0
    assert store.load(three[2]).session.label == ""


@pytest.mark.parametrize(
    "text", ["", "  ", "a\nb", "\x1b[1m", "latest", "previous", "x" * 101, "\u202eabc", "a,b", "a/b"]
)
def test_what_is_no_label(three: list[Path], text: str) -> None:
    """One line of printable text that means nothing else; nothing is written otherwise."""
    record = (three[2] / "session.json").read_bytes()
    for words in (("runs", "name", "latest", text), ("runs", "tag", "latest", text), ("run", "--label", text)):
        assert cli.main(words) == 2
    assert (three[2] / "session.json").read_bytes() == record


def test_an_older_record_has_no_label(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A record from before there were any is listed and can be named."""
    fields = json.loads((three[2] / "session.json").read_text())
    for name in ("label", "tags", "resumed"):
        del fields[name]
    (three[2] / "session.json").write_text(json.dumps(fields))
    assert cli.main(["runs", "name", "latest", "old"]) == 0 and runs.one("old") == three[2]


def test_a_label_from_elsewhere_does_no_harm(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal, in HTML, in Markdown: it is words, whatever it holds."""
    store.relabel(three[2], label=HOSTILE, tags=[HOSTILE])
    for words in (["runs"], ["runs", "show"], ["compare", "previous", "latest"]):
        assert cli.main(words) == 0
        said = capsys.readouterr().out
        assert "\x1b]" not in said and "\x07" not in said and "\u202e" not in said and "⟨U+001B⟩]0;a" in said
    assert cli.main(["compare", "previous", "latest", "--markdown"]) == 0
    assert "<script>" not in capsys.readouterr().out
    assert cli.main(["report", "latest", "--out", "page"]) == 0
    for file in ("index.html", "report.md"):
        page = Path("page", file).read_text()
        assert "<script>|*x*" not in page and "\x1b]" not in page and "\u202e" not in page


def test_what_goes_to_others_has_no_host_in_its_label(three: list[Path]) -> None:
    """A bundle is without the host's name wherever it stands."""
    record = msgspec.structs.replace(session(host="secret-0123abcd"), label="on secret", tags=["secret"])
    told = bundle.anonymous(record)
    assert (told.label, told.tags) == ("on host", ["host"])


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_removal_asks(three: list[Path], monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    """Yes removes the folder, anything else nothing."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert cli.main(["runs", "rm", "previous"]) == code
    assert three[1].exists() == (code != 0) and three[2].exists()


def test_removal_where_nobody_can_be_asked(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Without --yes it is refused; with it, wherever it stands, it is done, told and data."""
    assert cli.main(["runs", "rm", "latest"]) == 2 and three[2].exists()
    capsys.readouterr()
    assert cli.main(["runs", "rm", "--yes", "latest", "--json", "previous"]) == 0
    document = json.loads(capsys.readouterr().out)
    obeys(document, "runs-rm")
    assert document["removed"] == [str(three[2]), str(three[1])] and runs.known() == [three[0]]


def test_the_folder_that_one_is_in_can_be_removed(three: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that it has from there."""
    path = three[2].absolute()
    monkeypatch.chdir(path)
    assert cli.main(["runs", "rm", ".", "--yes"]) == 0 and not path.exists()


def test_removal_takes_only_what_a_run_leaves(three: list[Path], tmp_path: Path) -> None:
    """Not a folder with something else in it, not through a link, not a run that goes on: nothing of it goes."""
    (three[0] / "thesis.tex").write_text("years of work")
    link = tmp_path / "link"
    link.symlink_to(three[1].absolute())
    journal = Journal(three[2])
    try:
        for name in (three[0].name, "link", "latest", "/tmp"):
            assert cli.main(["runs", "rm", name, "--yes"]) == 2
            assert cli.main(["runs", "rm", three[1].name, name, "--yes"]) == 2  # nor anything named beside it
    finally:
        journal.close()
    assert all((path / "session.json").exists() for path in three)


@pytest.mark.root
def test_nothing_of_another_user_is_changed(three: list[Path]) -> None:
    """A folder that somebody else owns, or in which others write, could be swapped meanwhile."""
    os.chown(three[2], 65534, 65534)
    three[1].chmod(0o777)
    for words in (("name", "latest", "x"), ("tag", "latest", "x"), ("rm", "latest", "--yes"), ("rm", "previous", "-y")):
        assert cli.main(["runs", *words]) == 2
    assert cli.main(["run", "--resume", "latest", "--no-report"]) == 2
    assert all((path / "session.json").exists() for path in three)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs", "lsit"), "invalid choice"),
        (("runs", "list", "x"), "no action"),
        (("runs", "name", "latest"), "name RUN LABEL"),
        (("runs", "tag", "latest"), "tag RUN TAG"),
        (("runs", "rm"), "rm RUN"),
        (("runs", "rm", "latest", "--all", "previous"), "unrecognized arguments: --all"),
        (("run", "--resume", "latest"), "nothing to resume"),
        (("run", "--resume", "--blocks", "9"), "--blocks is part of the plan"),
        (("nightly", "--resume"), "always a new run"),
    ],
)
def test_wrong_usage(three: list[Path], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    """One line, exit code 2."""
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_damaged_run_is_told_and_the_others_are_listed(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """By its name, on standard error."""
    (three[0] / "session.json").write_text("{")
    assert cli.main(["runs"]) == 0
    said = capsys.readouterr()
    assert three[2].name in said.out and f"ignored: {three[0]}" in said.err


def test_a_shell_completes_names_of_runs(three: list[Path]) -> None:
    """Each side of a comparison may be several."""
    store.relabel(three[0], label="mine", tags=[])
    assert "latest,mine" in completion._runs("latest,")
