"""The lab's way to measure: one block, and none before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from isobench.results import store
from tests.documents import ROOT


def test_the_first_block_counts(tmp_path: Path) -> None:
    """No other is measured, and it is not excluded."""
    words = ["run", "-e", "process", "-s", "startup", "--blocks", "1", "--no-report", "--out"]
    command = [sys.executable, "-m", "verification.hosts.one_block", *words, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (run,) = store.find_runs(tmp_path)
    found = store.load(run)
    assert [(block.index, block.marks) for block in found.session.blocks] == [(1, [])]
    assert {len(one.values) for one in found.series} == {1}
