"""Daemons and monitors are killed in the middle of a run."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.setup.packages import QEMU
from verification.faults.engines import pids_of
from verification.faults.place import Line, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from verification.faults.place import Place

AWAY = 2.0
"""Seconds for which a daemon is down."""


def dockerd(place: Place) -> Line:
    """Killed or stopped, then started again; the containers' shims survive meanwhile."""

    def away(number: int) -> Callable[[], None]:
        def inject() -> None:
            place.docker.stop(number)
            time.sleep(AWAY)
            place.docker.start()

        return inject

    injections = [away(signal.SIGKILL), away(signal.SIGTERM)]
    return _line(place, "docker", injections, "dockerd killed, restarted", blocks=60)


def containerd(place: Place) -> Line:
    """Started again by dockerd."""
    return _line(place, "docker", [lambda: _kill("containerd")] * 2, "containerd killed", blocks=40)


def shim(place: Place) -> Line:
    injections = [lambda: _kill_when_there("containerd-shim-runc-v2", "")] * 3
    return _line(place, "docker", injections, "a container's shim killed", blocks=10)


def libvirtd(place: Place) -> Line:
    def away(number: int) -> Callable[[], None]:
        def inject() -> None:
            place.libvirt.stop(number)
            time.sleep(AWAY)
            place.libvirt.start()

        return inject

    injections = [away(signal.SIGKILL), away(signal.SIGTERM)]
    return _line(place, "tcg-null", injections, "libvirtd killed, restarted", blocks=30)


def qemu(place: Place) -> Line:
    injections = [lambda: _kill_when_there(QEMU, "isobench-")] * 3
    return _line(place, "tcg-null", injections, "QEMU killed", blocks=8)


def _line(
    place: Place,
    environment: str,
    injections: list[Callable[[], None]],
    fault: str,
    *,
    blocks: int,
) -> Line:
    """One run per injection: it completes its blocks, reports the failure, and measures again afterwards."""
    tally = Tally(place)
    for inject in injections:
        before = place.before()
        words = ("run", "-e", f"process,{environment}", "-s", "startup", "--no-report")
        process = place.start(*words, "--blocks", str(blocks * 100), "--max-time", f"{blocks}s")
        place.await_block(3, process)
        hit = place.block()
        inject()
        code = process.wait(300)
        tally.add(_judge(place, environment, code, hit), before)
    told = {f.reason.replace(str(place.folder), "…") for run in place.runs() for f in run.session.failures}
    reasons = sorted({reason[:80] for reason in told})
    return tally.line(fault, f"the cells report: {'; '.join(reasons)[:240]}" if reasons else "no cell was hit")


def _judge(place: Place, environment: str, code: int, hit: int) -> str:
    session = place.last_run().session
    series = [s for s in place.last_run().series if s.environment == environment and s.metric == "ready"]
    blocks = series[0].blocks if series else []
    failed = [f.block for f in session.failures if f.environment == environment]
    if code not in (0, 1, 5) or session.stopped not in ("blocks", "max-time"):
        return f"exit code {code}, stopped {session.stopped!r}: {place.last_lines()}"
    if not failed:
        return f"nothing was hit in {len(session.blocks)} blocks, so nothing is shown"
    if code == 0:
        return "cells failed, and the exit code is 0"
    if not blocks or blocks[-1] <= max([hit, *failed]):
        return f"not measured again: hit in block {hit}, failed {failed[:3]}…{failed[-1:]}, measured {blocks[-3:]}"
    return ""


def _kill(name: str) -> None:
    for pid in pids_of(name):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_when_there(name: str, words: str, seed: list[int] = [0]) -> None:  # noqa: B006 (one moment after the other)
    """Kill a process as soon as it exists, or a moment later. If it has ended by then, wait for the next one."""
    seed[0] += 1
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if pids_of(name, words):
            time.sleep(random.Random(seed[0]).uniform(0, 0.15))
            killed = False
            for pid in pids_of(name, words):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed = True
            if killed:
                return
        time.sleep(0.002)
    raise RuntimeError(f"no {name} was seen")
