"""`python -m isobench.daemons COMMAND`: the command is told what its session is told, whose exit code is
the command's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def session(*command: str) -> subprocess.Popen[bytes]:
    """One without daemons of its own: others are named."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": "unix:///none", "ISOBENCH_LIBVIRT_URI": "test:///"}
    words = [sys.executable, "-m", "isobench.daemons", *command]
    return subprocess.Popen(words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 5", 5), ("kill -KILL $$", 137)])
def test_the_commands_exit_code(command: str, code: int) -> None:
    """Also of one that a signal ended, as a shell says it."""
    with session("sh", "-c", command) as process:
        assert process.wait(60) == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on(number: int) -> None:
    """The session waits for the command to end in order."""
    name = signal.Signals(number).name.removeprefix("SIG")
    ending = f"trap 'echo told; exit 9' {name}; echo up; while :; do sleep 0.1; done"
    with session("sh", "-c", ending) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert process.stdout.readline() == b"told\n" and process.wait(60) == 9
