"""`python -m isobench.daemons COMMAND…`: run a command with private Docker and libvirt daemons where none run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from isobench.core.signals import ENDING, ignore
from isobench.daemons.private import private_daemons

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


def main() -> int:
    """Start what is missing, run the command, stop it again; its exit code, as a shell would give it."""
    for number in ENDING:  # also in the moments before and after what is in order: none of them ends this by itself
        signal.signal(number, _end)
    try:
        with private_daemons():
            return _run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command began, or after its end
        return 128 + signal.SIGINT
    finally:
        ignore()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _run(words: Sequence[str]) -> int:
    """Signals are passed on, and the command ends in order: the daemons are stopped when it has ended."""
    told: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        if process is None:
            told.append(number)
        elif number != signal.SIGINT or not _at_a_terminal():
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in ENDING}
    try:
        process = subprocess.Popen(words)
        for number in told:
            process.send_signal(number)
        code = process.wait()
        return code if code >= 0 else 128 - code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_a_terminal() -> bool:
    """Whether Ctrl-C tells the command as well: the terminal sends it to all of its foreground group."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    raise SystemExit(main())
