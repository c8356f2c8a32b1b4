"""What runs isobench every night elsewhere: the workflow and the timer, checked by the linters made for them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/nightly.yml"
UNITS = sorted((ROOT / "contrib/systemd").iterdir())


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_is_one() -> None:
    """GitHub's own schema of workflows, as check-jsonschema brings it."""
    _run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW))


def test_the_workflow_is_safe() -> None:
    """zizmor: unpinned actions, credentials left on disk, injected templates, dangerous triggers."""
    zizmor = Path(sys.executable).with_name("zizmor")
    _run(str(zizmor), "--offline", "--persona=pedantic", "--quiet", str(WORKFLOW))


def test_strangers_do_not_run_on_the_machine() -> None:
    """A self-hosted runner takes no pull requests, and one night at a time."""
    text = WORKFLOW.read_text()
    assert "pull_request" not in text and "concurrency:" in text and "self-hosted" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_units_are_valid(unit: Path) -> None:
    """systemd's own verifier has nothing to say."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line or "isobench" in line]
    assert done.returncode == 0 and said == [], done.stderr
