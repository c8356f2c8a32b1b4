"""Sessions with private daemons (`python -m isobench.daemons`): signalled at any moment, and killed with what they
run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.setup.packages import QEMU
from verification.faults.engines import pids_of
from verification.faults.place import ISOBENCH, Line, Tally, signalled

if TYPE_CHECKING:
    from collections.abc import Callable

    from verification.faults.place import Place

RUN = ("run", "-e", "process,docker,tcg-null", "-s", "startup", "--no-report")
VICTIMS = {
    "the session": (),
    "… and the guards of its daemons": ("probe",),
    "… and its daemons": ("dockerd", "containerd", "libvirtd"),
    "… and all of these": ("probe", "dockerd", "containerd", "libvirtd"),
    "… and the shims, QEMU": ("dockerd", "containerd", "containerd-shim-runc-v2", "libvirtd", QEMU),
}
"""What is killed at once: the session with its command, and the processes of its daemons with these names."""


def told(place: Place, each: int = 5, seed: int = 5) -> Line:
    """While its daemons start, while its command runs, while they end."""
    tally, dice = Tally(place), random.Random(seed)
    _once(place)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for turn in range(each):
            before = place.before()
            process = _start(place, *RUN, "--blocks", "1")
            if turn < 3:
                _wait(process, dice.uniform(0.2, 4.0))
            else:
                _await_results(place, process)
                _wait(process, dice.uniform(0.0, 2.0))
            code = signalled(process, number, dice.uniform(0, 0.3) if turn % 2 else None, 180)
            wrong = (
                ""
                if code in (0, 5, 130, 128 + number, -number)
                else f"{number.name}: exit code {code}: {place.last_lines()}"
            )
            tally.add(wrong, before)
    note = "while private daemons start and stop; rules, forwarding and network settings are restored"
    return tally.line("SIGINT, SIGTERM, SIGHUP for a session with private daemons", note)


def killed(place: Place, seed: int = 6) -> Line:
    """Among the blocks of a run; the next session cleans up."""
    tally, dice = Tally(place), random.Random(seed)
    _once(place)
    for names in (*VICTIMS.values(), *VICTIMS.values()):
        before = place.before()
        process = _start(place, *RUN, "--blocks", "500")
        place.await_block(0, process)
        _wait(process, dice.uniform(0.0, 3.0))
        own = [pid for name in names for pid in pids_of(name) if _is_of(pid, place)]
        for pid in (process.pid, *_children(process.pid), *own):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        code = _start(place, "clean").wait(180)
        tally.add(f"clean: exit code {code}: {place.last_lines()}" if code else "", before)
    note = f"twice each: {', '.join(VICTIMS)}; the next session ends surviving processes and restores the network"
    return tally.line("kill -9 of a session with private daemons", note)


def _once(place: Place) -> None:
    """The first session creates what daemons keep between sessions."""
    _start(place, *RUN, "--blocks", "1").wait(300)


def _start(place: Place, *words: str) -> subprocess.Popen[bytes]:
    environ = {k: v for k, v in place.environ.items() if k not in ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI")}
    with place.said.open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "isobench.daemons", *ISOBENCH, *words],
            cwd=place.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def _await_results(place: Place, process: subprocess.Popen[bytes]) -> None:
    """Wait until the session's command has measured and is about to end."""

    def told() -> bool:
        return "results:" in place.said.read_text(errors="replace") or process.poll() is not None

    place.await_that(told, "results", 120)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _is_of(pid: int, place: Place) -> bool:
    """Whether a process belongs to the place's private daemons, not to the faults' own engines."""
    found = b""
    for name in ("cmdline", "environ"):
        with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
            found += file.read()
    return f"{place.folder}/".encode() in found


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split() if _is_python(int(word))]


def _is_python(pid: int) -> bool:
    """The command of the session; its other children are the guards."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"\0bench\0" in file.read()
    return False


ROWS: dict[str, Callable[[Place], Line]] = {"sessions-told": told, "sessions-killed": killed}
