"""Private daemons for hosts where no init system runs any: their own state, private sockets, gone when stopped."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from bench import deadlines
from bench.errors import Unavailable
from bench.probe.build import probe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class Daemon:
    """A running private daemon: its address, and how to end it."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], after: Callable[[], None]) -> None:
        self.address = address
        self._process = process
        self._after = after

    def stop(self) -> None:
        """Ask it to end, make sure that it has, remove what it leaves behind. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._after()


def start(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    address: str,
    answers: Callable[[], bool],
    after: Callable[[], None] = lambda: None,
    environ: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Daemon:
    """Start a daemon that dies with this process; wait until it answers. Raises `Unavailable` with its last words."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(probe_path()), "init", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
        )
    daemon = Daemon(address, process, after)
    deadline = time.monotonic() + deadlines.stretched(timeout)
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError):
            if answers():
                return daemon
        time.sleep(0.1)
    daemon.stop()
    words = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    raise Unavailable(f"{name} did not start: {words.strip() or 'it said nothing'}")
