"""What an instance uses, as a monitoring tool reads it: from the files of its cgroup, or of its process."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from isobench.core.errors import MeasurementError
from isobench.processes.accounting import cgroups_of, controller_folder

_ROOT = Path("/sys/fs/cgroup")
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


class Use(NamedTuple):
    """CPU seconds that an instance has used so far, and bytes of memory that it uses now."""

    cpu_seconds: float
    memory_bytes: int


class UseFiles:
    """The two files with the use of a process's cgroup, or of the process alone if it is in this process's own
    cgroup."""

    def __init__(self, pid: int, root: Path = _ROOT) -> None:
        self._cpu, self._memory, self._is_process = _files(pid, root)

    @property
    def words(self) -> str:
        """What is read, for the record."""
        if self._is_process:
            return "files of its process: /proc/PID/stat, /proc/PID/statm"
        return f"files of its cgroup: {self._cpu.name}, {self._memory.name}"

    def read(self) -> Use:
        """Raises `MeasurementError`."""
        try:
            cpu, memory = self._cpu.read_text(), self._memory.read_text()
            if self._is_process:
                return Use(parse_stat(cpu), int(memory.split()[1]) * _PAGE)
            return Use(parse_usage(cpu), int(memory))
        except (OSError, ValueError, IndexError) as error:
            raise MeasurementError(f"its use cannot be read: {error}") from error


def _files(pid: int, root: Path) -> tuple[Path, Path, bool]:
    """The file for the CPU time, that for the memory, and whether they are the process's."""
    own, its = cgroups_of(os.getpid()), cgroups_of(pid)
    cpu, memory = (controller_folder(its, controller, root) for controller in ("cpuacct", "memory"))
    ours = [controller_folder(own, controller, root) for controller in ("cpuacct", "memory")]
    if memory is not None and memory == cpu:  # version 2
        cpu = memory = _that_counts(memory, ours[1])
    if cpu is None or memory is None or cpu == ours[0] or memory == ours[1]:
        return Path(f"/proc/{pid}/stat"), Path(f"/proc/{pid}/statm"), True
    if (cpu / "cpuacct.usage").exists():
        return cpu / "cpuacct.usage", memory / "memory.usage_in_bytes", False
    return cpu / "cpu.stat", memory / "memory.current", False


def _that_counts(folder: Path, ours: Path | None) -> Path | None:
    """The next cgroup from here up that counts memory: systemd-nspawn puts its program into one below its instance's,
    without controllers. This process's own if there is none in between."""
    for one in (folder, *folder.parents):
        if ours is not None and ours.is_relative_to(one):
            return ours
        if (one / "memory.current").exists():
            return one
    return ours


def parse_usage(text: str) -> float:
    """Seconds in cpuacct.usage (version 1: nanoseconds) or cpu.stat (version 2: usage_usec). Raises `ValueError`."""
    found = re.search(r"^usage_usec (\d{1,18})$", text, re.MULTILINE | re.ASCII)
    return int(found[1]) / 1e6 if found else int(text) / 1e9


def parse_stat(text: str) -> float:
    """Seconds of user and system time in /proc/PID/stat, to the clock tick. Raises `ValueError`, `IndexError`."""
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
