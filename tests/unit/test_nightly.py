"""What a night does to its folder before it begins; the night itself is in tests/e2e/test_nightly.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.commands import nightly

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
    nightly._forget(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == set(theirs)


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    """A name of ours that is a link does not lead a night's text somewhere else."""
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / "run.txt").symlink_to(tmp_path / "kept.txt")
    nightly._forget(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.txt"]
