"""Detects OOM kills for mechanisms that do not report them.

A runtime removes the cgroup, and its count of OOM kills, with the container. So the host's own count is used.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import DeadlineExceeded, MeasurementError, OutOfMemory, StoppedShort
from isobench.processes.accounting import cgroups_of
from isobench.resources.memory import memory_cgroup

if TYPE_CHECKING:
    from types import TracebackType


_MEANWHILE = "meanwhile the kernel killed a process of this host for want of memory"


class MemoryWatch:
    """Around an instance: replaces its failure by `OutOfMemory` if the host's kernel had an OOM kill meanwhile.

    The count is the whole host's. So an unrelated failure during another process's OOM kill is blamed on memory, too; a
    failure without any OOM kill never is. An instance that exceeds its deadline has not been killed, so then the OOM
    kill is only mentioned.
    """

    def __init__(self) -> None:
        self._limit: int | None = None

    def __enter__(self) -> MemoryWatch:
        self._before = kills()
        return self

    def look_at(self, pid: int) -> None:
        """Remember the limit of this process while it is alive; 0 if there is none."""
        if pid:
            self._limit = memory_limit(pid)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, (MeasurementError, OSError)) or isinstance(error, (OutOfMemory, StoppedShort)):
            return
        if kills() > self._before:
            reason, console = getattr(error, "reason", str(error)), getattr(error, "console", "")
            if isinstance(error, DeadlineExceeded):
                raise DeadlineExceeded(f"{reason}; {_MEANWHILE}", console=console, remedy=error.remedy) from error
            raise OutOfMemory(f"OOM-killed{self._whose()}: {reason}", console=console) from error

    def _whose(self) -> str:
        """Worded as for a Docker container; empty if the instance ended before `look_at`."""
        if self._limit is None:
            return ""
        return (
            f" (the container's limit is {self._limit / 2**20:.0f} MiB)"
            if self._limit
            else " (the host ran out of memory)"
        )


def kills() -> int:
    """The host's count of OOM kills, of cgroups and of the host; 0 if the kernel does not count them."""
    with suppress(OSError):
        found = re.search(r"^oom_kill (\d{1,18})$", Path("/proc/vmstat").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0


def memory_limit(pid: int) -> int:
    """The memory limit of a process's cgroup in bytes, on either version; 0 if there is none."""
    with suppress(OSError, ValueError):
        folder = memory_cgroup(cgroups_of(pid))
        for place in (folder, *folder.parents) if folder is not None else ():  # a threaded one has no limit of its own
            for name in ("memory.max", "memory.limit_in_bytes"):
                if (place / name).exists():
                    # Without a limit, v2 says "max" (no int), v1 a number beyond all memory.
                    limit = int((place / name).read_text())
                    return limit if limit < 1 << 60 else 0
    return 0
