"""`isobench nightly` as the timer calls it: one folder with all of a night in it, and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_commands import isobench


@pytest.mark.root
def test_two_nights(tmp_path: Path) -> None:
    """The second is compared with the first; neither is news, so both end with 0. Yesterday's files are
    replaced, those of others stay."""
    words = ("nightly", "-e", "process,chroot", "-s", "startup", "--blocks", "6", "--out", "results", "-q")
    first = isobench(*words, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    (night,) = (tmp_path / "results").glob("*/2*")
    (tmp_path / "nightly" / "notes.txt").write_text("not of a night")
    (tmp_path / "nightly" / "isobench.toml").write_text("")
    (tmp_path / "nightly" / "compare.txt").write_text("yesterday's")
    second = isobench(*words, "--against", str(night), folder=tmp_path)
    assert second.returncode == 0 or "confirmed" in second.stderr, second.stderr
    there = {file.name for file in (tmp_path / "nightly").iterdir()}
    assert {"doctor.txt", "run.txt", "trend.json", "index.html", "report.md", "summary.md", "compare.txt"} <= there
    assert {"notes.txt", "isobench.toml"} <= there
    assert "yesterday" not in (tmp_path / "nightly" / "compare.txt").read_text()
    assert sum(name.startswith("isobench.") for name in there) >= 6
    assert "PASS  chroot" in (tmp_path / "nightly" / "doctor.txt").read_text()
    assert (tmp_path / "nightly" / "summary.md").read_text().startswith("## Tonight")
