"""The first process of private daemons: what it passes on, and that nothing outlives it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from isobench.probe.build import probe_path
from tests.busy import soon


def _init(script: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([str(probe_path()), "init", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_ends_with_its_command_and_gives_its_status() -> None:
    process = _init("exit 7")
    assert process.wait(60) == 7


def test_it_passes_a_signal_on() -> None:
    process = _init("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 5


def test_it_takes_with_it_what_the_command_left() -> None:
    """A child in a session of its own, as a shim or QEMU is."""
    process = _init("setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!; sleep 0.2")
    assert process.stdout is not None
    orphan = int(process.stdout.readline())
    assert process.wait(60) == 0
    assert soon(lambda: not _lives(orphan))
