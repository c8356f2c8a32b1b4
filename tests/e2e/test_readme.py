"""Every command in the README is one that works, run as it stands there but with small numbers from the environment."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_commands import ROOT, isobench

README = (ROOT / "README.md").read_text()
BLOCKS = [line.strip() for line in README.splitlines() if line.startswith("    ")]
COMMANDS = [line.partition(" #")[0].strip() for line in BLOCKS if line.startswith("isobench ")]
SMALL = {
    "ISOBENCH_RUN_ENVIRONMENTS": "process,chroot",
    "ISOBENCH_RUN_BLOCKS": "1",
    "ISOBENCH_DOCTOR_ENVIRONMENTS": "process,chroot",
}
"""What the commands leave open is made small; what they say themselves stays."""


def test_the_readme_shows_how() -> None:
    """There are commands to be tested, the main ones among them."""
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"run", "report", "doctor", "list", "clean"}


@pytest.mark.root
@pytest.mark.docker
@pytest.mark.slow
def test_every_isobench_command_works(tmp_path: Path) -> None:
    """One after the other in one folder, as a newcomer would type them."""
    first = isobench("run", "-q", folder=tmp_path, **SMALL)
    assert first.returncode == 0, first.stderr
    for command in COMMANDS:
        done = isobench(*shlex.split(command)[1:], folder=tmp_path, **SMALL)
        assert done.returncode == 0, f"{command}: {done.stderr[-1000:]}"


def test_every_nox_session_exists() -> None:
    """What the README tells to type after `nox -s` is a session of the noxfile."""
    named = set(re.findall(r"nox -s ([a-z]+)", README))
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert named and named <= set(re.findall(r"^[*-] ([a-z]+)", listed, re.MULTILINE))
