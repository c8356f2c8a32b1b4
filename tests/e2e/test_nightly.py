"""`isobench nightly` as the timer calls it: one folder with all of a night in it, and an exit code."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_commands import isobench
from tests.unit.test_json import obeys


def _explained(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a night that ends with 1 or 5, on a busy machine for one, says why, on the terminal as in its summary."""
    return done.returncode in (1, 5) and "isobench: " in done.stderr


@pytest.mark.root
def test_a_night_as_data(tmp_path: Path) -> None:
    """One JSON document on standard output, nothing before it, and the sentences of the summary in it."""
    words = ("nightly", "-e", "process", "-s", "startup", "--blocks", "6", "--out", "results", "-q", "--json")
    done = isobench(*words, folder=tmp_path)
    document = json.loads(done.stdout)
    obeys(document, "nightly")
    assert (done.returncode != 0) == bool(document["news"] or document["faults"]), done.stderr
    summary = (tmp_path / "nightly" / "summary.md").read_text(encoding="utf-8")
    assert ("No change is known" in summary) == (done.returncode == 0)
    assert "PASS  process" in (tmp_path / "nightly" / "doctor.txt").read_text(encoding="utf-8")


@pytest.mark.root
def test_two_nights(tmp_path: Path) -> None:
    """The second is compared with the first; neither is news, so both end with 0. Yesterday's files are
    replaced, those of others stay."""
    words = (
        "nightly",
        "-e",
        "process,chroot",
        "-s",
        "startup",
        "--blocks",
        "6",
        "--out",
        "results",
        "--site",
        "site",
        "-q",
    )
    first = isobench(*words, folder=tmp_path)
    assert first.returncode == 0 or _explained(first), first.stderr
    (night,) = (tmp_path / "results").glob("*/2*")
    (tmp_path / "nightly" / "notes.txt").write_text("not of a night")
    (tmp_path / "nightly" / "isobench.toml").write_text("")
    (tmp_path / "nightly" / "compare.txt").write_text("yesterday's")
    second = isobench(*words, "--against", str(night), folder=tmp_path)
    assert second.returncode == 0 or _explained(second), second.stderr
    there = {file.name for file in (tmp_path / "nightly").iterdir()}
    assert {"doctor.txt", "run.txt", "trend.json", "index.html", "report.md", "summary.md", "compare.txt"} <= there
    assert {"notes.txt", "isobench.toml"} <= there
    assert "yesterday" not in (tmp_path / "nightly" / "compare.txt").read_text()
    assert sum(name.startswith("isobench.") for name in there) >= 6
    assert re.search(r"^ *PASS +.*\bchroot\b", (tmp_path / "nightly" / "doctor.txt").read_text(), re.MULTILINE)
    assert (tmp_path / "nightly" / "summary.md").read_text().startswith("## Tonight")
    assert "2 runs of 1 host" in (tmp_path / "site" / "index.html").read_text()
