"""The committed example: a real run, its report, and the README's figures, which come from it."""

from __future__ import annotations

import re
from pathlib import Path

from isobench.report.build import render
from isobench.results.store import load
from tests.example import BUNDLED, EMULATED_HOST, EXAMPLE, LARGEST, ROOT, RUN_FILES, figures, with_figures

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_figures_of_the_committed_runs() -> None:
    """Not a digit of the README's table is written by hand, and Linux under KVM is told to be of an emulated host."""
    table = figures(EXAMPLE / "run", EMULATED_HOST)
    assert with_figures(README, table) == README
    rows = [line.count("|") for line in table.splitlines() if line.startswith("|")]
    assert len(set(rows)) == 1, "each row has all columns, also of a run that measured less"
    assert len(re.findall(r"\[[\d.]+, [\d.]+\]", table)) >= 15
    (row,) = re.findall(r"^\| KVM, on an emulated host.*$", table, re.MULTILINE)
    assert len(re.findall(r"[\d.]+×", row)) >= 2 and "trust the order, neither times" in table


def test_the_emulated_run_is_small_and_names_no_host() -> None:
    """It is what `isobench export --to bundle` makes, whole."""
    assert {file.name for file in EMULATED_HOST.iterdir()} >= BUNDLED
    assert sum((EMULATED_HOST / name).stat().st_size for name in RUN_FILES) <= LARGEST
    session = load(EMULATED_HOST).session
    assert session.finished and re.fullmatch("host-[0-9a-f]{8}", session.host_id)


def test_the_example_is_the_report_of_its_run(tmp_path: Path) -> None:
    """Its first table has the values that the run gives today; the whole names the run it was written from."""
    again = render(EXAMPLE / "run", tmp_path, ("md",))["md"].read_text(encoding="utf-8")
    committed = (EXAMPLE / "report.md").read_text(encoding="utf-8")
    rows = re.compile(r"^\| \*\*.+$", re.MULTILINE)
    first = [rows.findall(text.split("## Can this be trusted?")[0]) for text in (again, committed)]
    assert first[0] == first[1] and len(first[0]) >= 4
    assert load(EXAMPLE / "run").session.run_id in committed


def test_the_example_is_small_and_whole() -> None:
    """All that the README links to is there, within the limits of a report."""
    assert (EXAMPLE / "index.html").stat().st_size < 3_000_000 and (EXAMPLE / "report.md").stat().st_size < 64_000
    assert (EXAMPLE / "screenshot.png").read_bytes().startswith(b"\x89PNG")
    assert sum((EXAMPLE / "run" / name).stat().st_size for name in RUN_FILES) <= LARGEST
    links = re.findall(r"\]\((reports/example/[^)]+)\)", README)
    assert len(links) >= 3 and all((ROOT / link).is_file() for link in links)
