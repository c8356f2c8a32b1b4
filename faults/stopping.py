"""The run itself is stopped: by signals, and by kill -9, at random moments."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import IsobenchError
from faults.place import Line, Tally

if TYPE_CHECKING:
    from faults.place import Place

ENVIRONMENTS = "process,ns-all,handmade,docker,tcg-null"
LONG = ("run", "-e", ENVIRONMENTS, "-s", "startup", "--blocks", "500", "--no-report")
SECONDS = 4.5
"""Moments are drawn from the first seconds of a run: imports, images, proofs, and two or three blocks. Half of the
kills come later than that, among the blocks."""


def signals(place: Place, each: int = 6, seed: int = 1) -> Line:
    """Every second time another signal follows, as from an impatient user."""
    tally, dice = Tally(place), random.Random(seed)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for turn in range(each):
            before = place.before()
            process, moment = place.start(*LONG), dice.uniform(0.1, SECONDS)
            _let_run(process, moment)
            process.send_signal(number)
            if turn % 2:
                time.sleep(dice.uniform(0, 0.3))
                process.send_signal(number)
            code = process.wait(90)
            wrong = (
                ""
                if code in (130, -number)
                else f"{number.name} at {moment:.2f} s: exit code {code}, {place.last_lines()}"
            )
            tally.add(wrong or _unloadable(place), before)
    note = "ends with 130 (a signal in the first moments of Python ends it by itself); half of them told twice"
    return tally.line("SIGINT, SIGTERM, SIGHUP at any moment", note)


def kill9(place: Place, times: int = 50, seed: int = 2) -> Line:
    """Half of the time the next start cleans up, half of the time `isobench clean`."""
    tally, dice, stayed, measured = Tally(place), random.Random(seed), 0, 0
    for turn in range(times):
        before = place.before()
        late = SECONDS if turn % 4 < 2 else 0.0
        process, moment = place.start(*LONG), dice.uniform(0.1, SECONDS) + late
        _let_run(process, moment)
        block = place.block()
        measured += block > 0
        process.kill()
        process.wait()
        wrong = _unloadable(place, block)
        survivors = _survivors(place)
        stayed += bool(survivors)
        if survivors:
            wrong = wrong or f"still there 5 s after its parent: {survivors[0]}"
        if turn % 2:
            code, said = place.call("clean")
        else:
            code, said = place.call("run", "-e", "process", "-s", "startup", "--blocks", "1", "--no-report", "-q")
        if code != 0:
            wrong = wrong or f"killed at {moment:.2f} s; the next start: exit code {code}, {said[-300:]}"
        tally.add(wrong, before)
    note = (
        f"over {ENVIRONMENTS}; {measured} of them in a measured block, whose forerunners are on disk; "
        f"processes that outlived their parent by 5 s: in {stayed} cases"
    )
    return tally.line("kill -9 of the harness at any moment", note)


def _let_run(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Let it run for so long, or to its end."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _unloadable(place: Place, block: int = -1) -> str:
    """What is wrong with what is on disk; `block` is the one that had begun, so that those before it must be there."""
    try:
        runs = place.runs()
    except IsobenchError as error:
        return f"does not load: {error}"
    if block > 0 and len(runs[-1].session.blocks) < block:
        return f"block {block} had begun, and {len(runs[-1].session.blocks)} blocks are on disk"
    return ""


def _survivors(place: Place) -> list[str]:
    """What works in the place's folder and lives five seconds after the harness was killed."""
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
