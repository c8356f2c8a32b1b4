"""What the kernel OOM-killed, told as that: by mechanisms that do not say so themselves.

A runtime removes the cgroup that knew with its container, so that the sign is the host's own count.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import MeasurementError, OutOfMemory, StoppedShort

if TYPE_CHECKING:
    from types import TracebackType


class MemoryWatch:
    """Around an instance: raises `OutOfMemory` in place of its failure where the host's kernel killed meanwhile.

    The count is the whole host's, so that a failure of its own beside somebody else's end would be blamed on memory,
    too; one that had nothing killed beside it never is.
    """

    def __init__(self) -> None:
        self._limit: int | None = None

    def __enter__(self) -> MemoryWatch:
        self._before = kills()
        return self

    def look_at(self, pid: int) -> None:
        """Remember the limit of this process, while it lives; 0 where there is none."""
        if pid:
            self._limit = memory_limit(pid)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, (MeasurementError, OSError)) or isinstance(error, (OutOfMemory, StoppedShort)):
            return
        if kills() > self._before:
            reason, console = getattr(error, "reason", str(error)), getattr(error, "console", "")
            raise OutOfMemory(f"OOM-killed{self._whose()}: {reason}", console=console) from error

    def _whose(self) -> str:
        """In the words for a container of Docker's; nothing where it had not come as far as to be looked at."""
        if self._limit is None:
            return ""
        return (
            f" (the container's limit is {self._limit / 2**20:.0f} MiB)"
            if self._limit
            else " (the host ran out of memory)"
        )


def kills() -> int:
    """How often the kernel has OOM-killed, of a cgroup or of the host; 0 where it does not count."""
    with suppress(OSError):
        found = re.search(r"^oom_kill (\d{1,18})$", Path("/proc/vmstat").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0


def memory_limit(pid: int) -> int:
    """The bytes that a process's own cgroup may hold, of either version; 0 where that has no limit."""
    from isobench.host.accounting import cgroups_of
    from isobench.host.memory import memory_cgroup

    with suppress(OSError, ValueError):
        folder = memory_cgroup(cgroups_of(pid))
        for place in (folder, *folder.parents) if folder is not None else ():  # a threaded one has no limit of its own
            for name in ("memory.max", "memory.limit_in_bytes"):
                if (place / name).exists():
                    # Where there is none, v2 says "max" (no int), v1 a number beyond all memory.
                    limit = int((place / name).read_text())
                    return limit if limit < 1 << 60 else 0
    return 0
