"""What a night does to its folder before it begins; the night itself is in tests/e2e/test_nightly.py."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from isobench import cli
from isobench.analysis.results import load
from isobench.commands import _night, _night_folder
from isobench.core.errors import UsageError
from isobench.results import store
from isobench.results.record import FailureRecord, SkipRecord
from tests.unit.analysis.made import night as night_of
from tests.unit.analysis.made import write_run

if TYPE_CHECKING:
    from pathlib import Path


def test_only_the_files_of_a_night_are_removed(tmp_path: Path) -> None:
    """Whatever folder is named, what nightly does not write stays: files, folders, even `isobench.toml`."""
    ours = ("doctor.txt", "run.txt", "trend.json", "compare.txt", "summary.md", "index.html", "report.md")
    exports = ("isobench.csv", "isobench.parquet", "isobench.prom", "isobench.junit.xml", "isobench.bmf.json")
    theirs = ("notes.txt", ".profile", "isobench.toml", "isobench.txt", "results")
    for name in (*ours, *exports, *theirs[:-1]):
        (tmp_path / name).write_text("old")
    (tmp_path / "results").mkdir()
    (tmp_path / _night_folder.MARK).touch()
    _night_folder.forget(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {*theirs, _night_folder.MARK}


@pytest.mark.parametrize("name", ["summary.md", "index.html", "run.txt", "isobench.csv"])
def test_a_folder_of_somebody_elses_loses_nothing(name: str, tmp_path: Path) -> None:
    """A file with one of a night's names is refused where no night was; an empty folder becomes a night's."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=f"{name} is already there"):
        _night_folder.forget(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    _night_folder.forget(tmp_path)
    (tmp_path / name).write_text("of a night")
    _night_folder.forget(tmp_path)
    assert not (tmp_path / name).exists()


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    """A name of ours that is a link does not lead a night's text somewhere else."""
    (tmp_path / "kept.txt").write_text("kept")
    _night_folder.forget(tmp_path)
    (tmp_path / "run.txt").symlink_to(tmp_path / "kept.txt")
    _night_folder.forget(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"kept.txt", _night_folder.MARK}


def _summary(folder: Path, night: _night.Night, watched: int = 5) -> str:
    _night.summarise(folder, night.sentences(), night.calm(watched=watched), "# The report")
    return (folder / "summary.md").read_text(encoding="utf-8")


def test_nothing_changed_is_said_only_where_nothing_did(tmp_path: Path) -> None:
    """Not where something is news, where something went wrong, nor where nothing is watched."""
    assert "Nothing changed." in _summary(tmp_path, _night.Night([], []))
    assert "too few nights" in _summary(tmp_path, _night.Night([], []), watched=0)
    for night in (_night.Night(["docker is gone"], []), _night.Night([], ["2 cells failed"])):
        text = _summary(tmp_path, night)
        assert "Nothing" not in text and f"**{(night.news + night.faults)[0]}**" in text


def test_what_a_summary_says_is_neither_markdown_nor_html(tmp_path: Path) -> None:
    text = _summary(tmp_path, _night.Night(["<script>alert(1)</script> [a](http://b) `c` | \x1b[31m"], []))
    assert "<script" not in text and "](http" not in text and "\x1b" not in text


def _looked(results: Path, path: Path) -> _night.Night:
    night = _night.Night([], [])
    _night.look(night, results, load(path))
    return night


def test_an_environment_that_is_gone_is_told(tmp_path: Path) -> None:
    """It was measured the night before, and cannot be had tonight; one that never could is no news."""
    write_run(tmp_path, started=night_of(0))
    path = write_run(tmp_path, started=night_of(1))
    session = store.load_session(path)
    gone = [SkipRecord("docker", "", "dockerd does not answer"), SkipRecord("kvm", "", "no /dev/kvm")]
    store.save(store.load(path)._replace(session=msgspec.structs.replace(session, skips=gone)))
    assert [line.partition(" and ")[0] for line in _looked(tmp_path, path).news] == [
        "docker was measured the night before"
    ]


def test_failed_cells_and_blocks_left_out_are_told(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    run = store.load(path)
    marked = [msgspec.structs.replace(block, marks=["the machine swapped (900 pages)"]) for block in run.session.blocks]
    failures = [FailureRecord(1, "docker", "startup", "no answer")]
    store.save(run._replace(session=msgspec.structs.replace(run.session, blocks=marked, failures=failures)))
    first, second = _looked(tmp_path, path).faults
    assert first == "1 cell failed, the first: docker: no answer"
    assert "every block was disturbed" in second and "the machine swapped" in second


def test_a_comparison_that_cannot_be_is_no_silence(tmp_path: Path) -> None:
    night = _night.Night([], [])
    _night.compared(night, tmp_path, load(write_run(tmp_path)), tmp_path / "gone", show=False)
    assert night.faults and "no comparison" in night.faults[0]


def test_the_site_has_tonights_run_or_says_why_not(tmp_path: Path) -> None:
    """With a link to its report, wherever that is; a folder of somebody else's is a fault of the night, not its end."""
    run = write_run(tmp_path / "results")
    results, reports = run.parents[1], tmp_path / "elsewhere"
    report = reports / run.relative_to(results) / "index.html"
    report.parent.mkdir(parents=True)
    report.touch()
    night = _night.Night([], [])
    _night.publish(night, results, tmp_path / "site", reports)
    assert not night.sentences() and f"elsewhere/{run.parent.name}" in (tmp_path / "site/index.html").read_text()
    _night.publish(night, results, results, reports)
    assert night.faults == [f"no site: {results} is not empty, and is not a site of isobench"]


def test_a_night_prunes_its_own_machine(tmp_path: Path) -> None:
    """Older runs lose their values; those of another machine do not, and what fails is a fault of the night."""
    results = tmp_path / "results"
    there = write_run(results, host="there")
    paths = [write_run(results, started=night_of(number), seed=number) for number in range(3)]
    night = _night.Night([], [])
    _night.prune(night, results, load(paths[2]), 2, show=False)
    assert [store.load(path).session.pruned is not None for path in (there, *paths)] == [False, True, False, False]
    assert not night.sentences()


def test_the_trend_is_tonights_machines(tmp_path: Path) -> None:
    """Another host's change in a shared folder is its own night's news, and stays news for it."""
    results = tmp_path / "results"
    for number in range(3):
        write_run(results, started=night_of(number), host="here", seed=number)
        path = write_run(results, started=night_of(number), host="there", kernel=f"6.{number}", seed=number)
    here = _night.Night([], [])
    _night.trend_of(here, tmp_path, results, load(sorted((results / "here").iterdir())[-1]))
    there = _night.Night([], [])
    _night.trend_of(there, tmp_path, results, load(path))
    assert here == ([], []) and "kernel: 6.1 → 6.2" in there.news[0]


def test_a_run_from_the_future_does_not_cost_a_night(tmp_path: Path) -> None:
    """Neither that night, which says why it is in no trend, nor those after it."""
    results = tmp_path / "results"
    paths = [write_run(results, started=started) for started in (night_of(0), night_of(1), "2999-01-01T00:00:00Z")]
    lost, next_night = _night.Night([], []), _night.Night([], [])
    _night.trend_of(lost, tmp_path, results, load(paths[2]))
    _night.trend_of(next_night, tmp_path, results, load(paths[1]))
    assert "in no trend" in lost.faults[0] and "future" in lost.faults[0]
    assert next_night == ([], [])


def test_text_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    """In a German Latin-1 locale the arrow of doctor's remedies was an error; so was a report's µ."""
    script = (
        "from pathlib import Path; import sys; from isobench.commands import _night, _night_folder\n"
        "t = Path(sys.argv[1])\n"
        "_night_folder.keep(t / 'doctor.txt', ['  \\u2192 isobench clean'])\n"
        "_night.summarise(t, ['\\u00fc \\u2192'], '', '# 711 \\u00b5s \\u00fc')\n"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "→ isobench clean" in (tmp_path / "doctor.txt").read_text(encoding="utf-8")
    assert "711 µs ü" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_a_plan_leaves_last_night_alone(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("last night")
    words = ["nightly", "-e", "process", "-s", "startup", "--dry-run", "--folder", str(tmp_path)]
    assert cli.main([*words, "--out", str(tmp_path / "results")]) == 0
    assert (tmp_path / "summary.md").read_text() == "last night"
