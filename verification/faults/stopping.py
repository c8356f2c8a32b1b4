"""Signals at random moments of a run: what is on disk then, and which processes survive."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import IsobenchError
from verification.faults.place import Line, Tally, signalled

if TYPE_CHECKING:
    from verification.faults.place import Place

ENVIRONMENTS = "process,ns-all,handmade,docker,tcg-null"
LONG = ("run", "-e", ENVIRONMENTS, "-s", "startup", "--blocks", "500", "--no-report")
SECONDS = 4.5
"""Moments are drawn from the first seconds of a run: imports, images, smoke tests, and two or three blocks."""


def signals(place: Place, each: int = 6, seed: int = 1) -> Line:
    """Every second time another signal follows, as if from an impatient user."""
    tally, dice = Tally(place), random.Random(seed)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for turn in range(each):
            before = place.before()
            process, moment = place.start(*LONG), dice.uniform(0.1, SECONDS)
            _let_run(process, moment)
            code = signalled(process, number, dice.uniform(0, 0.3) if turn % 2 else None, 90)
            wrong = (
                ""
                if code in (130, -number)
                else f"{number.name} at {moment:.2f} s: exit code {code}, {place.last_lines()}"
            )
            tally.add(wrong or unloadable(place), before)
    note = "exits with 130 (except for a signal while Python is starting); half of them signalled twice"
    return tally.line("SIGINT, SIGTERM, SIGHUP at any moment", note)


def signals_at_the_end(place: Place, each: int = 4, seed: int = 2) -> Line:
    """While environments are closed and what the run created is removed; every second time signalled twice."""
    tally, dice = Tally(place), random.Random(seed)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for turn in range(each):
            before = place.before()
            process = place.start("run", "-e", ENVIRONMENTS, "-s", "startup", "--blocks", "1", "--no-report")
            place.await_block(1, process)
            _let_run(process, dice.uniform(0.5, 3.0))
            code = signalled(process, number, dice.uniform(0, 0.3) if turn % 2 else None, 90)
            wrong = "" if code in (0, 5, 130, -number) else f"{number.name}: exit code {code}, {place.last_lines()}"
            tally.add(wrong or unloadable(place), before)
    return tally.line("SIGINT, SIGTERM, SIGHUP while a run ends", "after its last block; half of them signalled twice")


def _let_run(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Let it run for so many seconds, or to its end."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def unloadable(place: Place, block: int = -1) -> str:
    """What is wrong with the files on disk; `block` is the one that had begun, so earlier ones must be complete."""
    try:
        runs = place.runs()
    except IsobenchError as error:
        return f"does not load: {error}"
    if block > 0 and len(runs[-1].session.blocks) < block:
        return f"block {block} had begun, and {len(runs[-1].session.blocks)} blocks are on disk"
    return ""


def survivors(place: Place) -> list[str]:
    """Processes that work in the place's folder and are still alive five seconds after the harness was killed."""
    deadline = time.monotonic() + 5
    while found := _working_in(place.folder / "work"):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return found


def _working_in(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            places = [str((entry / link).readlink()) for link in ("cwd", "root", "exe")]
            if str(folder) in words or any(p.startswith(str(folder)) for p in places) or words.startswith("/probe"):
                found.append(f"{entry.name} {words[:100]}")
    return found
