"""How many more instances this host holds: what one takes of memory and of process ids, and what must stay free."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from bench.memory import available_memory

RESERVE = 4 << 30
"""Bytes of memory that must stay available on any host."""
PID_RESERVE = 1000
"""Process ids that must stay free."""


class Room:
    """Learns from the instances that live what one more takes. Make it while none does."""

    def __init__(self) -> None:
        self._memory, self._pids = available_memory(), pids_free()
        self._each_memory = self._each_pids = 0.0

    def learn(self, living: int) -> None:
        """Take note of what is free now that `living` instances are there; the dearest reading counts."""
        if living > 0:
            self._each_memory = max(self._each_memory, (self._memory - available_memory()) / living)
            self._each_pids = max(self._each_pids, (self._pids - pids_free()) / living)

    def refuses(self, more: int) -> str:
        """Why `more` instances beside those that live do not fit; "" where they do."""
        available, free = available_memory(), pids_free()
        if available - more * self._each_memory < RESERVE:
            return (
                f"{more} more instances at {self._each_memory / 2**20:.0f} MiB each would leave less than "
                f"{RESERVE >> 30} GiB of the {available / 2**30:.1f} GiB of memory that are available"
            )
        if free - more * self._each_pids < PID_RESERVE:
            return (
                f"{more} more instances of {self._each_pids:.0f} tasks each would leave fewer than {PID_RESERVE} of "
                f"the {free:.0f} process ids that are free"
            )
        return ""


def pids_free() -> float:
    """How many tasks may still be made: by the kernel's limit, and by our cgroup's."""
    tasks = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])
    limits = [_number("/proc/sys/kernel/pid_max") - tasks, _number("/proc/sys/kernel/threads-max") - tasks]
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{os.getpid()}/cgroup").read_text(encoding="ascii").splitlines()
        lines.sort(key=lambda line: "pids" not in line)  # version 1 has a hierarchy of its own for it
        _, name, own = next(line for line in (line.split(":", 2) for line in lines) if line[1] in ("", "pids"))
        folder = Path("/sys/fs/cgroup", name, own.lstrip("/"))
        limits.append(_number(str(folder / "pids.max")) - _number(str(folder / "pids.current")))
    return min(limits)


def _number(path: str) -> float:
    """A limit in a file; "max" and no file are no limit."""
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return float("inf")
    return float("inf") if text == "max" else float(text)
