"""A place to inject faults: its own folders, the engines, isobench as a process, and the outcome."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.results import store
from verification.faults import leaks, trees

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from verification.faults.engines import Engine

ROOT = Path(__file__).parents[2]
ISOBENCH = (sys.executable, "-m", "verification.undisturbed")
"""isobench without the gate for disturbed blocks: a fault's outcome must not depend on what else this host does."""


class Line(NamedTuple):
    """The outcome of one row."""

    fault: str
    injected: int
    survived: int
    leaks: list[str]
    note: str
    wrong: Sequence[str] = ()
    """What went wrong, one line each."""


def signalled(process: subprocess.Popen[bytes], number: signal.Signals, again: float | None, timeout: float) -> int:
    """The exit code of a process that gets a signal, and the same once more after `again` seconds."""
    with suppress(ProcessLookupError):
        process.send_signal(number)
        if again is not None:
            time.sleep(again)
            process.send_signal(number)
    return process.wait(timeout)


class Tally:
    """Counts the injections of one row."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.injected = self.survived = 0
        self.leaks: list[str] = []
        self.wrong: list[str] = []

    def count(self, problem: str) -> None:
        """Count one injection; `problem` is what went wrong, or empty if it survived."""
        self.injected += 1
        self.survived += not problem
        if problem:
            self.wrong.append(problem)

    def add(self, problem: str, before: trees.Found) -> None:
        """Count one injection, and its leaks."""
        self.count(problem)
        self.leaks += leaks.left(self._place.where, before)

    def line(self, fault: str, note: str) -> Line:
        return Line(fault, self.injected, self.survived, self.leaks, note, self.wrong)


class Place:
    """Folders, engines, environment variables. `fresh` gives empty folders with the same engines."""

    def __init__(self, folder: Path, docker: Engine, libvirt: Engine) -> None:
        self.folder = folder
        self.docker = docker
        self.libvirt = libvirt
        for name in ("state", "work", "tmp"):
            (folder / name).mkdir(parents=True, mode=0o700)
            (folder / name).chmod(0o711)
        self.environ = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'verification/faults/plugin'}",
            "ISOBENCH_STATE": str(folder / "state"),
            "ISOBENCH_WORK": str(folder / "work"),
            "TMPDIR": str(folder / "tmp"),
            "DOCKER_HOST": f"unix://{docker.path}",
            "ISOBENCH_LIBVIRT_URI": f"qemu+unix:///system?socket={libvirt.path}",
        }

    @property
    def where(self) -> leaks.Where:
        return leaks.Where(self.folder, self.environ["DOCKER_HOST"], self.environ["ISOBENCH_LIBVIRT_URI"])

    def fresh(self, name: str) -> Place:
        return Place(self.folder.parent / name, self.docker, self.libvirt)

    def before(self) -> trees.Found:
        return leaks.take(self.where)

    def start(self, *words: str, program: Sequence[str] = ISOBENCH, **environ: str) -> subprocess.Popen[bytes]:
        """Start `isobench WORDS`; its output goes to the file `said`."""
        with self.said.open("wb") as said:
            return subprocess.Popen(
                [*program, *words],
                cwd=self.folder,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def call(self, *words: str, timeout: float = 300, **environ: str) -> tuple[int, str]:
        """Run `isobench WORDS` to its end; returns the exit code and all output."""
        process = self.start(*words, **environ)
        return process.wait(timeout), self.said.read_text(errors="replace")

    @property
    def said(self) -> Path:
        return self.folder / "said"

    def block(self) -> int:
        """The current block according to the output; 0 in the warm-up, -1 before it."""
        text = self.said.read_text(errors="replace") if self.said.exists() else ""
        numbers = [int(n) for n in re.findall(r"^block (\d+) of", text, re.MULTILINE)]
        return numbers[-1] if numbers else (0 if "warm-up block" in text else -1)

    def await_block(self, number: int, process: subprocess.Popen[bytes], timeout: float = 120) -> None:
        """Wait until a run has reached this block."""
        self.await_that(lambda: self.block() >= number or process.poll() is not None, f"block {number}", timeout)
        if process.poll() is not None:
            raise RuntimeError(f"the run ended early: {self.said.read_text(errors='replace')[-500:]}")

    def await_that(self, condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain for {what}")
            time.sleep(0.01)

    def runs(self) -> list[store.Run]:
        """Every run under the results folder, loaded. Raises `StoreError`."""
        folder = self.folder / "results"
        return [store.load(path) for path in store.find_runs(folder)] if folder.exists() else []

    def last_run(self) -> store.Run:
        return self.runs()[-1]

    def last_lines(self) -> str:
        return self.said.read_text(errors="replace").strip()[-300:]
