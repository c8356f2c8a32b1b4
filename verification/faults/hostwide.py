"""The host changes during a run: its clock, its CPUs, its limits, a foreign process in a cgroup."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from verification.faults import leaks
from verification.faults.place import ISOBENCH, Line, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from verification.faults.place import Place

_CPU = Path("/sys/devices/system/cpu/cpu1/online")


def clock(place: Place) -> Line:
    """Stepped by 0.2 s, and back by the monotonic clock."""

    def inject(_: subprocess.Popen[bytes]) -> None:
        offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()
        time.clock_settime_ns(time.CLOCK_REALTIME, offset + time.monotonic_ns() + 200_000_000)
        try:
            time.sleep(0.1)
        finally:
            time.clock_settime_ns(time.CLOCK_REALTIME, offset + time.monotonic_ns())

    return _marked(place, inject, "the clock was set", "clock stepped during a block")


def cpu(place: Place) -> Line:
    """The second CPU off for a second."""

    def inject(_: subprocess.Popen[bytes]) -> None:
        _CPU.write_text("0")
        try:
            time.sleep(1)
        finally:
            _CPU.write_text("1")

    return _marked(place, inject, "a CPU went off or on line", "CPU taken offline during a block")


def stopped(place: Place) -> Line:
    """isobench stopped by a signal for a second, and continued."""

    def inject(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)

    return _marked(place, inject, "isobench itself was stopped", "isobench stopped during a block")


def _marked(place: Place, inject: Callable[[subprocess.Popen[bytes]], None], words: str, fault: str) -> Line:
    tally, before = Tally(place), place.before()
    command = ("run", "-e", "process,ns-all", "-s", "startup", "--no-report", "--blocks", "9999", "--max-time", "6s")
    process = place.start(*command, program=(sys.executable, "-m", "isobench"))
    place.await_block(3, process)
    try:
        inject(process)
    except OSError as error:
        process.wait(120)
        tally.leaks += leaks.left(place.where, before)
        note = f"not possible on this host ({error.strerror}); simulated in tests/unit/cells/test_runner.py"
        return tally.line(fault, note)
    process.wait(120)
    blocks = place.last_run().session.blocks
    hit = [b.index for b in blocks if any(words in mark for mark in b.marks)]
    tally.add("" if hit else f"no block of {len(blocks)} is marked", before)
    return tally.line(fault, f"blocks {hit[:4]} of {len(blocks)} are marked and excluded from the analysis")


def files(place: Place) -> Line:
    """Limits of open files that are just too low for a run, and lower ones."""
    tally = Tally(place)
    for most in (8, 12, 16, 20, 24, 32, 64):
        before = place.before()
        words = ["run", "-e", "process,ns-all,docker,tcg-null", "-s", "startup", "--no-report", "--blocks", "2"]
        command = ["prlimit", f"--nofile={most}:{most}", *ISOBENCH, *words]
        done = subprocess.run(
            command, cwd=place.folder, env=place.environ, capture_output=True, text=True, timeout=300, check=False
        )
        said = done.stderr.strip()
        clear = done.returncode == 0 or "open files" in said or "Errno 24" in said
        code, swept = place.call("clean")  # with so few files a run cannot ask the engines at its end, and says so
        lines = "Traceback" not in said and "internal error" not in said
        wrong = "" if clear and lines else f"{most} files: exit code {done.returncode}: {said[-300:]}"
        tally.add(wrong or (f"{most} files: clean: {code}, {swept[-300:]}" if code else ""), before)
    return tally.line("limit of open files reached", "measured, or a one-line error each")


def busy_cgroup(place: Place) -> Line:
    """A foreign process is moved into an instance's cgroup, stays for two seconds, and must survive."""
    tally = Tally(place)
    for _ in range(3):
        before = place.before()
        stranger = subprocess.Popen(["sleep", "600"])
        process = place.start("run", "-e", "process,ns-all+cgroup", "-s", "startup", "--no-report", "--blocks", "5")
        place.await_block(1, process)
        moved, folder = _move(stranger.pid)
        time.sleep(2)
        if moved:  # back to where it was
            (moved.parents[2] / "cgroup.procs").write_text(str(stranger.pid))
        code = process.wait(200)
        lives = stranger.poll() is None
        stranger.kill()
        stranger.wait()
        wrong = (
            ""
            if lives and moved and code in (0, 1, 5)
            else f"moved into {folder}: {lives=}, exit code {code}, {place.last_lines()}"
        )
        if not wrong and not any(c.seconds > 1.5 for b in place.last_run().session.blocks for c in b.cells):
            wrong = "no cell waited for its cgroup"
        tally.add(wrong, before)
    return tally.line("cgroup not removable for a while", "the cell waits for it; the foreign process in it survives")


def _move(pid: int) -> tuple[Path | None, str]:
    """Move a process into the next instance's cgroup."""
    root = next(p for p in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for parent in root.glob("isobench-*/ns-all+cgroup"):
            with suppress(OSError):
                for name in os.listdir(parent):
                    if name.isdigit():
                        (parent / name / "cgroup.procs").write_text(str(pid))
                        return parent / name, str(parent / name)
    return None, "nowhere"
