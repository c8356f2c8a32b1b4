"""Private daemons for hosts without an init system: with their own state and sockets, removed when stopped."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.core.signals import interruptible
from isobench.daemons.session import MARK, end_orphans
from isobench.probe.build import probe_path
from isobench.processes.programs import search_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Daemon:
    """A running private daemon: its address, and how to end it."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], state: Path, after: Callable[[], None]) -> None:
        self.address = address
        self._process = process
        self._state = state
        self._after = after

    def stop(self) -> None:
        """Stop it and everything that it started, and remove what it leaves. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=deadlines.stretched(30))
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        try:
            end_orphans(self._state)  # if its guard was killed, or its children are in a session of their own
        finally:
            self._after()


def start(
    name: str,
    command: Sequence[str],
    *,
    state: Path,
    address: str,
    answers: Callable[[], bool],
    after: Callable[[], None] = lambda: None,
    timeout: float = 60,
) -> Daemon:
    """Start a daemon that dies with this process; wait until it answers. Raises `Unavailable` with its last output.

    Its data are in `state`, its log next to that. If starting fails, it is stopped and `after` is called.
    """
    log = state / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(probe_path()), "init", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(state),
            start_new_session=True,
        )
    daemon = Daemon(address, process, state, after)
    try:
        with interruptible():
            if _await_answer(process, answers, time.monotonic() + deadlines.stretched(timeout)):
                return daemon
    except BaseException:
        daemon.stop()
        raise
    daemon.stop()
    words = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    raise Unavailable(f"{name} did not start: {words.strip() or 'it said nothing'}")


def _environment(state: Path) -> dict[str, str]:
    """What an init system would give it: whatever is set where isobench is called (GOGC, LD_PRELOAD, LIBVIRT_DEBUG)
    could change costs, or keep it from starting. containerd writes its stacks into TMPDIR."""
    return {"PATH": search_path(), "LANG": "C.UTF-8", MARK: str(state), "TMPDIR": str(state / "run")}


def _await_answer(process: subprocess.Popen[bytes], answers: Callable[[], bool], deadline: float) -> bool:
    """Whether it answers before it exits or the deadline passes."""
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            if answers():
                return True
        time.sleep(0.1)
    return False
