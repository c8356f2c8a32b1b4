"""Whole sites of histories on disk: the same however often they were built, whole whatever the history is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from isobench.layout import format
from isobench.nights import pruning
from isobench.results.store import SESSION
from isobench.site import build, compare, cost, layout
from tests.unit.analysis.made import night
from tests.unit.report.made import HOSTILE
from tests.unit.site.made import NAMES, STEP, add, add_nights, change, files, made, pages
from tests.unit.verification.faults.test_results import QUICK
from verification.faults.kinds import KINDS

NIGHTS = STEP + 8


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hosts, with their site."""
    folder = tmp_path_factory.mktemp("two")
    for host in ("one", "two"):
        add_nights(folder / "results", NIGHTS, host)
    made(folder)
    return folder


@pytest.fixture
def history(two_hosts: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(two_hosts, tmp_path / "copy"))


def _run(folder: Path, number: int = NIGHTS - 1) -> Path:
    return sorted((folder / "results/one").iterdir())[number]


def _add_report(folder: Path) -> None:
    report = folder / "reports/one" / _run(folder).name / "index.html"
    report.parent.mkdir(parents=True)
    report.write_text("a report")


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "a night": lambda folder: add(folder / "results", NIGHTS),
    "a night without docker": lambda folder: add(folder / "results", NIGHTS, names=NAMES[:-1]),
    "another machine": lambda folder: add(folder / "results", NIGHTS, cpu="New CPU"),
    "another host": lambda folder: add(folder / "results", NIGHTS, host="three"),
    "a run is gone": lambda folder: shutil.rmtree(_run(folder, 3)),
    "a host is gone": lambda folder: shutil.rmtree(folder / "results/one"),
    "a label": lambda folder: change(_run(folder), label="before"),
    "a report": _add_report,
    "pruned": lambda folder: pruning.prune(folder / "results", 2),
    "a clock in the future": lambda folder: change(
        _run(folder), started="2999-01-01T00:00:00Z", finished="2999-01-01T00:00:00Z"
    ),
    "a clock that went back": lambda folder: change(_run(folder), finished="2020-01-01T00:00:00Z"),
    "another schema": lambda folder: change(_run(folder), schema=99),
    "a damaged record": lambda folder: (_run(folder) / SESSION).write_text("{"),
    "a time that is none": lambda folder: change(_run(folder, 2), started="2026-99-99T99:99:99Z", finished=""),
    "a page is gone": lambda folder: next((folder / "site/hosts").glob("*/startup.m0.html")).unlink(),
    "the index is gone": lambda folder: (folder / "results/.isobench-index.sqlite").unlink(),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_site_is_as_if_built_afresh(history: Path, what: str) -> None:
    """Whatever happened to the runs since it was last built."""
    CHANGES[what](history)
    again = made(history)
    fresh = made(history, "fresh")
    assert files(history / "site") == files(history / "fresh")
    assert (again.pages, again.problems, again.machines) == (fresh.pages, fresh.problems, fresh.machines)
    assert again.pages == sum(name.endswith(".html") for name in files(history / "site"))


def test_the_pages_of_other_hosts_are_not_written(history: Path) -> None:
    """A night of one host leaves those of the other; without a change nothing is written at all. The comparison that is
    too old for a page by now is removed."""
    before = {file: file.stat().st_mtime_ns for file in (history / "site").rglob("*.html")}
    assert made(history).written == 0
    add(history / "results", NIGHTS)
    # Two metrics, the host's page, two comparisons, two files of numbers, and the two pages about all hosts.
    assert made(history).written == 9
    removed = {file for file in before if not file.exists()}
    rewritten = {file for file, state in before.items() if file not in removed and file.stat().st_mtime_ns != state}
    assert {file.parent.name.partition("~")[0] for file in rewritten} == {"one", "site"}
    assert [file.name for file in removed] == ["compare-20260107t020000z.html"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("a clock in the future", "began in the future (2999-01-01T00:00:00Z), so it does not count until then"),
        ("a clock that went back", "the clock went backwards"),
        ("another schema", "schema 99, but this isobench reads schema 1"),
        ("a damaged record", "not a session record"),
    ],
)
def test_what_is_left_out_is_said(history: Path, what: str, said: str) -> None:
    """On the first page, on its host's, and on the pages of its costs; not on another host's."""
    CHANGES[what](history)
    built = made(history)
    assert any(said in problem for problem in built.problems)
    for file, page in pages(history / "site").items():
        here = said in page.words
        if file.name == "costs.html" or file.name.startswith("compare"):
            assert not here
        elif file.name == "index.html":
            assert here == (not file.parent.name.startswith("two~")), file
        else:
            assert ("1 run of this host is left out" in page.words) == file.parent.name.startswith("one~")


def test_every_link_leads_somewhere(history: Path) -> None:
    """To a page, and to a place on it; no two places of a page have one name; nothing leads outside."""
    _add_report(history)
    made(history)
    found = pages(history / "site")
    assert len(found) == 2 + 2 * (3 + compare.MOST + 1)
    for file, page in found.items():
        assert len(page.ids) == len(set(page.ids))
        for link in page.links:
            target, _, place = unquote(link).partition("#")
            other = (file.parent / target).resolve() if target else file
            assert other.is_file(), (file, link)
            assert not place or place in found[other].ids, (file, link)
    assert any("reports" in link for link in found[history / "site/index.html"].links)


def test_hostile_words_are_only_words(tmp_path: Path) -> None:
    """A label, a fact, a profile and a meaning may be anything: no element comes from them, no attribute either."""
    results = tmp_path / "results"
    add_nights(results, STEP + 4)
    made(tmp_path, "plain")
    for run in (results / "one").iterdir():
        record = json.loads((run / SESSION).read_text())
        facts = {**record["fingerprint"], "cpu": HOSTILE, "kernel": record["fingerprint"]["kernel"] + HOSTILE}
        for metric in record["scenarios"][0]["metrics"]:
            metric["meaning"] = HOSTILE
        change(run, label=HOSTILE, profile=HOSTILE, fingerprint=facts, scenarios=record["scenarios"])
    made(tmp_path)
    plain = pages(tmp_path / "plain").values()
    tags = set[str]().union(*(page.tags for page in plain))
    attributes = set[str]().union(*(page.attributes for page in plain))
    for page in pages(tmp_path / "site").values():
        assert page.tags <= tags and page.attributes <= attributes
        assert "\u202e" not in page.words
        assert not any("evil" in link for link in page.links)
    assert any("<script>alert(1)</script>" in page.words for page in pages(tmp_path / "site").values())


@pytest.mark.root
@pytest.mark.parametrize("kind", QUICK)
def test_a_hostile_run_costs_no_page(kind: str, tmp_path: Path) -> None:
    """Whatever lies in a run's folder: the other run has its pages, and nothing invisible is printed."""
    add_nights(tmp_path / "results", 2)
    KINDS[kind](_run(tmp_path, 1))
    assert made(tmp_path).runs >= 1
    for page in pages(tmp_path / "site").values():
        assert format.visible(page.words) == page.words and "script" in page.tags


def test_there_is_no_run(tmp_path: Path) -> None:
    """The first page says so."""
    (tmp_path / "results").mkdir()
    built = made(tmp_path)
    assert (built.runs, built.pages, built.machines) == (0, 2, [])
    assert "No run could be read." in pages(tmp_path / "site")[built.page].words


def test_names_that_differ_by_case_have_pages_of_their_own(tmp_path: Path) -> None:
    """On every file system."""
    for host in ("Host", "host", "HOST"):
        for number in range(2):
            folder = add(tmp_path / "results", number, host=host)
            assert folder.parent.name == host
    made(tmp_path)
    folders = [folder.name for folder in (tmp_path / "site/hosts").iterdir()]
    assert len({name.lower() for name in folders}) == 3


def test_the_numbers_are_those_of_the_history(two_hosts: Path) -> None:
    """A row for each night, the newest first; docker's ratio is a third higher from its step on, and that is marked."""
    file = next((two_hosts / "site/hosts").glob(f"one~*/{cost.name('startup.m0')}"))
    text = file.read_text()
    body = text[text.index("<tbody>", text.index('data-name="nights-table"')) :]
    rows = [row.split("<td>") for row in body.partition("</tbody>")[0].split("<tr>")[1:]]
    assert [row[0].rpartition(">")[2].strip() for row in rows] == [
        night(number)[:16].replace("T", " ") for number in reversed(range(NIGHTS))
    ]
    cells = [re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", row[-1].strip()) for row in rows]
    docker = [float(cell[1]) for cell in cells if cell]
    assert all(cell and float(cell[2]) < float(cell[1]) < float(cell[3]) for cell in cells)
    assert all((number > 1.15) == (index < NIGHTS - STEP) for index, number in enumerate(docker))
    marked = [len(rows) - 1 - index for index, row in enumerate(rows) if row[1].strip()]
    assert marked == [STEP]


def test_another_version_of_the_library_is_published(
    history: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its file is written again, and what machines' pages depend on has changed."""
    before = build._made_by()
    package = tmp_path / "package"
    for room in build._ROOMS:
        shutil.copytree(build._PACKAGE / room, package / room)
    with (package / "site/uplot/uPlot.iife.min.js").open("a") as library:
        library.write("/* newer */")
    monkeypatch.setattr(build, "_PACKAGE", package)
    monkeypatch.setattr(layout, "_HERE", package / "site")
    build._made_by.cache_clear()
    try:
        assert build._made_by() != before
        assert made(history).written == 1
    finally:
        build._made_by.cache_clear()
    assert "/* newer */" in (history / "site" / layout.CHARTS_SCRIPT).read_text()


def test_only_pages_with_figures_load_what_draws_them(two_hosts: Path) -> None:
    """No other page pays for it."""
    for file in (two_hosts / "site").rglob("*.html"):
        text = file.read_text()
        assert (layout.CHARTS_SCRIPT in text) == (layout.CHARTS_STYLE in text) == ("<figure" in text)


def test_a_prune_changes_a_word(history: Path) -> None:
    """Every page is as before, but for the runs whose values are said to be gone."""
    before = files(history / "site")
    done = pruning.prune(history / "results", 3)
    assert len(done.pruned) == 2 * (NIGHTS - 3)
    made(history)
    after = {
        name: re.sub(rb", values pruned on [0-9-]{10}", b"", data) for name, data in files(history / "site").items()
    }
    assert after == before
    (page,) = (history / "site/hosts").glob("one~*/index.html")
    assert page.read_text().count("values pruned on") == NIGHTS - 3
