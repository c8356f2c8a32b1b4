"""Ending processes: identified by their properties, never by a pid that may have been reused; and processes that end
with this one."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.processes.accounting import users_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""The words before a command run as root: its processes and mounts do not outlive this process, however that ends."""


def kill_all(is_wanted: Callable[[int], bool]) -> list[int]:
    """Kill every other process that is wanted; returns them. Errors of `is_wanted` count as no.

    It looks until it has found none twice in a row. A process may start another one behind the back of a single look,
    and one that just calls another program has neither words nor environment for a moment.
    """
    killed: list[int] = []
    found_none = 0
    for _ in range(_LOOKS):
        found = _killed(is_wanted, {os.getpid(), *killed})
        killed += found
        found_none = 0 if found else found_none + 1
        if found_none == 2:
            break
    return killed


_LOOKS = 100
"""Against what starts processes faster than they can be killed."""


def _killed(is_wanted: Callable[[int], bool], known: Collection[int]) -> list[int]:
    killed = []
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if pid in known:
            continue
        with suppress(OSError, ValueError, IndexError):
            process = os.pidfd_open(pid)  # so that no other process with a reused pid is killed
            try:
                if is_wanted(pid):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    killed.append(pid)
            finally:
                os.close(process)
    return killed


def has_variable(pid: int, variable: str) -> bool:
    """Whether a process was started with this variable (`NAME=value`); False for other users' processes, whose text is
    arbitrary."""
    if not users_of(pid)[0]:
        return False
    with open(f"/proc/{pid}/environ", "rb") as file:
        return os.fsencode(variable) in file.read().split(b"\0")
