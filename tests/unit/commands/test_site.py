"""`isobench site` as a command: what it says, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from isobench import cli
from tests.unit.analysis.made import night
from tests.unit.site.made import STEP, Page, add, add_nights
from tests.unit.test_json import obeys


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with results of two hosts; the newest run of one is of another schema."""
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it
    monkeypatch.chdir(tmp_path)
    add_nights(Path("results"), STEP + 1)
    record = add(Path("results"), 3, host="two") / "session.json"
    add(Path("results"), 2, host="two")
    record.write_text(record.read_text().replace('"schema":1', '"schema":99'))
    return tmp_path


def test_it_says_what_it_did_and_what_is_new(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The pages, the news, and on standard error what was left out."""
    assert cli.main(["site"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("new: the host changed at") and lines[0].endswith("(one)")
    assert lines[1:] == [f"{STEP + 2} runs of 2 hosts, 21 pages, 29 files written", "site/index.html"]
    assert "schema 99" in said.err


def test_the_same_as_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the published schema; the pages that it names are there."""
    assert cli.main(["site", "results", "--out", "pages", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    obeys(document, "site")
    assert [(row["host_id"], row["nights"], len(row["news"])) for row in document["machines"]] == [
        ("one", STEP + 1, 1), ("two", 1, 0),
    ]  # fmt: skip
    assert document["site"] == "pages/index.html" and all(Path(row["page"]).is_file() for row in document["machines"])
    assert len(document["problems"]) == 1


def test_reports_that_are_not_there_are_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each host's newest run, and once; the first page and the host's lead to it."""
    assert cli.main(["site", "--write-reports"]) == 0
    written = {path: path.stat().st_mtime_ns for path in Path("reports").rglob("*.*")}
    stamps = {host: night(number).replace("-", "").replace(":", "") for host, number in (("one", STEP), ("two", 2))}
    assert {path.parts[1:] for path in written} == {(host, stamp, "index.html") for host, stamp in stamps.items()}
    for page in (Path("site/index.html"), *Path("site/hosts").glob("*/index.html")):
        links = [page.parent / link for link in Page(page.read_text()).links if "/reports/" in link]
        assert links and {link.resolve() for link in links} <= {path.resolve() for path in written}
    assert cli.main(["site", "--write-reports"]) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("reports").rglob("*.*")} == written
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["site", "nowhere"], "nowhere is not a folder"),
        (["site", "--out", "results"], "results is not empty, and is not a site of isobench"),
        (["site", "--out", "/proc/nowhere"], "cannot write the site to /proc/nowhere"),
        (["site", "--out", "results/one/file"], "cannot write the site to results/one/file"),
    ],
)
def test_what_it_refuses(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """In one line, with exit code 2."""
    Path("results/one/file").touch()
    before = sorted(here.rglob("*"))
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err
    assert [file for file in sorted(here.rglob("*")) if "index.sqlite" not in file.name] == before
