"""A run in which one environment fails in every block: told in the terminal, the record and the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from isobench.results import store
from tests.e2e.test_commands import ROOT, isobench

if TYPE_CHECKING:
    from pathlib import Path

REASON = "the probe's answer ends in the middle of a line"


@pytest.mark.root
def test_the_run_goes_on_and_says_so(tmp_path: Path) -> None:
    """The other environment is measured; exit code 1; each failed cell is on record with its reason."""
    words = ("run", "-e", "process,hostile-half", "-s", "syscall", "--blocks", "2")
    done = isobench(*words, folder=tmp_path, PYTHONPATH=f"{ROOT}:{ROOT / 'verification/faults/plugin'}")
    assert done.returncode == 1, done.stderr
    assert f"failed syscall in hostile-half: {REASON}" in done.stderr
    assert "cells failed, the first: hostile-half: " + REASON in done.stderr
    path = next(store.find_runs(tmp_path / "results"))
    run = store.load(path)
    failed = [f for f in run.session.failures if f.block > 0]
    assert {(f.block, f.environment, f.scenario) for f in failed} == {(n, "hostile-half", "syscall") for n in (1, 2)}
    assert {f.reason for f in failed} == {REASON}
    assert {s.environment for s in run.series} == {"process", "process@control"}
    report = tmp_path / "reports" / path.parent.name / path.name
    trust = (report / "report.md").read_text().partition("Measurements that failed")[2]
    assert "hostile-half" in trust and REASON in trust
    assert "Measurements that failed" in (report / "index.html").read_text()
    again = isobench("report", str(path), "--out", str(tmp_path / "again"), folder=tmp_path)
    assert again.returncode == 0  # written without the plug-in, from the record alone
    assert json.loads((path / "session.json").read_text())["failures"]
