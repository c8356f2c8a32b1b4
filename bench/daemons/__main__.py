"""`python -m isobench.daemons COMMAND…`: run a command with private Docker and libvirt daemons if none run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.core.signals import ENDING, ignore
from isobench.daemons.private import private_daemons

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


def main() -> int:
    """Start the missing daemons, run the command, stop them; returns its exit code as a shell would."""
    for number in ENDING:  # also before and after `orderly`: no signal ends this process directly
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
    """Forward signals to the command; the daemons are stopped only after it has ended."""
    received: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        if process is None:
            received.append(number)
        elif number != signal.SIGINT or not _at_a_terminal():
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in ENDING}
    try:
        process = subprocess.Popen(words)
        for number in received:
            process.send_signal(number)
        _await_end(process.pid)
        code = process.wait()
        return code if code >= 0 else 128 - code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_end(pid: int) -> None:
    """Wait for the command. Python handles a signal that arrives just before a blocking wait only after that wait;
    poll(2) on the wakeup descriptor misses none."""
    told, telling = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    ended = os.pidfd_open(pid)
    before = signal.set_wakeup_fd(telling)
    try:
        poll = select.poll()
        poll.register(told, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while ended not in dict(poll.poll()):
            with suppress(BlockingIOError):
                os.read(told, 512)
    finally:
        signal.set_wakeup_fd(before)
        for descriptor in (told, telling, ended):
            os.close(descriptor)


def _at_a_terminal() -> bool:
    """Whether the command gets Ctrl-C by itself: the terminal sends it to the whole foreground group."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    raise SystemExit(main())
