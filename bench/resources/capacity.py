"""How many more instances fit on this host: the memory and process ids of one, and the reserve that must stay free."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from isobench.host.machine import parse_meminfo
from isobench.processes.accounting import cgroups_of, controller_folder, text_of
from isobench.resources.memory import available_memory

MOST_RESERVE = 4 << 30
"""Bytes of memory that must stay available on a large host; on one with less than 16 GiB a quarter of it."""
PID_RESERVE = 1000
"""Process ids that must stay free."""


class Capacity:
    """Learns from living instances what one more takes. Create it while there are none."""

    def __init__(self) -> None:
        self._memory, self._pids = available_memory(), pids_free()
        self._each_memory = self._each_pids = 0.0

    def learn(self, living: int) -> None:
        """Record what is free with `living` instances running; the largest reading per instance counts."""
        if living > 0:
            self._each_memory = max(self._each_memory, (self._memory - available_memory()) / living)
            self._each_pids = max(self._each_pids, (self._pids - pids_free()) / living)

    def refuses(self, more: int) -> str:
        """Why `more` further instances do not fit; "" if they do."""
        available, free = available_memory(), pids_free()
        if available - more * self._each_memory < (reserve := memory_reserve()):
            return (
                f"{more} more instances at {self._each_memory / 2**20:.0f} MiB each would leave less than "
                f"{reserve / 2**30:.1f} GiB of the {available / 2**30:.1f} GiB of memory that are available"
            )
        if free - more * self._each_pids < PID_RESERVE:
            return (
                f"{more} more instances of {self._each_pids:.0f} tasks each would leave fewer than {PID_RESERVE} of "
                f"the {free:.0f} process ids that are free"
            )
        return ""


def memory_reserve() -> float:
    """Bytes of memory that must stay available on this host."""
    total = parse_meminfo(text_of(Path("/proc/meminfo"))).get("MemTotal", 0)
    return min(MOST_RESERVE, total / 4) if total else MOST_RESERVE


def pids_free() -> float:
    """How many more tasks the kernel's limit and this process's cgroup allow. Infinite if no limit is known."""
    tasks = parse_tasks(text_of(Path("/proc/loadavg")))
    limits = [parse_limit(text_of(Path("/proc/sys/kernel", name))) - tasks for name in ("pid_max", "threads-max")]
    folder = controller_folder(cgroups_of(os.getpid()), "pids", Path("/sys/fs/cgroup"))
    if folder is not None:
        used = parse_limit(text_of(folder / "pids.current"))
        limits.append(parse_limit(text_of(folder / "pids.max")) - (used if math.isfinite(used) else 0.0))
    return min(limits)


def parse_tasks(text: str) -> int:
    """The number of tasks in /proc/loadavg; 0 if it has none."""
    match = re.search(r"(?<=/)\d{1,9}(?=\s)", text, re.ASCII)
    return int(match[0]) if match else 0


def parse_limit(text: str) -> float:
    """The number in a limit's file; anything else, such as "max" or an empty file, means no limit."""
    return float(text) if re.fullmatch(r"\d{1,19}", text, re.ASCII) else float("inf")
