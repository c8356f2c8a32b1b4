"""Every command in the README is one that works, run as it stands there but with small numbers from the environment."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.results import store
from tests.e2e.test_commands import ROOT, isobench

README = (ROOT / "README.md").read_text()
BLOCKS = [line.strip() for line in README.splitlines() if line.startswith("    ")]
ELSEWHERE = "isobench fleet run"
"""It wants hosts: tests/e2e/test_fleet.py makes some, and plays it there."""
COMMANDS = [
    line.partition(" #")[0].strip() for line in BLOCKS if line.startswith("isobench ") and ELSEWHERE not in line
]
SMALL = {
    "ISOBENCH_RUN_ENVIRONMENTS": "process,chroot",
    "ISOBENCH_RUN_BLOCKS": "1",
    "ISOBENCH_RUN_TIMEOUT": "40s",
    "ISOBENCH_DOCTOR_ENVIRONMENTS": "process,chroot",
}
"""What the commands leave open is made small; what they say themselves stays. Where Linux does not come up under KVM,
the ladder does not wait a minute for it: a rung that is not ready in time is left out."""


def test_the_readme_shows_how() -> None:
    """There are commands to be tested, the main ones among them."""
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"run", "report", "doctor", "list", "clean"}


@pytest.mark.root
@pytest.mark.docker
@pytest.mark.slow
def test_every_isobench_command_works(tmp_path: Path) -> None:
    """One after the other in one folder, as a newcomer would type them."""
    for command in COMMANDS:
        if "--resume" in command:
            _interrupt(tmp_path)
        done = isobench(*shlex.split(command)[1:], folder=tmp_path, **SMALL)
        assert done.returncode == 0, f"{command}: {done.stderr[-1000:]}"


def _interrupt(folder: Path) -> None:
    """Have the newest run be one that was interrupted after its last block."""
    *_, newest = store.find_runs(folder / "results")
    record = newest / "session.json"
    text = record.read_text()
    assert '"stopped": "blocks"' in text
    record.write_text(text.replace('"stopped": "blocks"', '"stopped": "interrupted"'))


def test_every_nox_session_exists() -> None:
    """What the README tells to type after `nox -s` is a session of the noxfile."""
    named = set(re.findall(r"nox -s ([a-z]+)", README))
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert named and named <= set(re.findall(r"^[*-] ([a-z]+)", listed, re.MULTILINE))
