"""The lock on a private daemon's state, held by one living session; and processes that a killed session left running.

A daemon dies with its session (bench/probe/init.c), except detached children (shims, QEMU), hanging daemons, and those
whose guard was killed first. These are found by a variable in their environment, which their helpers inherit, or by the
folders that they see in place of the host's.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from isobench.core.errors import Unavailable
from isobench.filesystem.files import try_lock
from isobench.filesystem.ownership import NotOurs, open_folder, own_folder
from isobench.processes.accounting import process_name, users_of
from isobench.processes.endings import has_variable

MARK = "ISOBENCH_PRIVATE_DAEMON"
"""In the environment of a private daemon: the folder of its state."""
_ENDING = 10.0
"""Seconds that orphans have to end before they are killed; and then to be gone."""


def made(state: Path) -> Path:
    """The folder of a state, for this user only. Raises `Unavailable` if it is another user's or cannot be made."""
    try:
        return own_folder(state, 0o700)
    except (OSError, NotOurs) as error:
        reason = error.reason if isinstance(error, NotOurs) else error.strerror
        raise Unavailable(f"{state} cannot be used: {reason}", remedy="set ISOBENCH_STATE") from error


def hold(state: Path) -> int:
    """The descriptor that holds the lock on this state, until it is closed or its process ends.

    Raises `Unavailable` if another session is alive, and `FileNotFoundError` if there is no such folder.
    """
    descriptor = open_folder(state)
    try:
        if try_lock(descriptor):
            return descriptor
        reason = f"another session's private daemon runs in {state}"
    except OSError as error:
        reason = f"cannot lock files in {state}: {error.strerror}"
    os.close(descriptor)
    raise Unavailable(reason)


def end_orphans(state: Path) -> list[str]:
    """End all processes of this state's daemons, if necessary by force; returns which. The caller holds the lock."""
    found: dict[int, str] = {}
    began = time.monotonic()
    while living := orphans(state):
        waited = time.monotonic() - began
        if waited > 2 * _ENDING:
            raise Unavailable(f"{process_name(living[0])} of a killed session does not end (pid {living[0]})")
        for pid in living:
            if pid not in found or waited > _ENDING:
                found.setdefault(pid, process_name(pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if waited > _ENDING else signal.SIGTERM)
        time.sleep(0.05)
    return [f"killed process {pid} ({name}) of a dead session" for pid, name in found.items()]


def orphans(state: Path) -> list[int]:
    """The processes of this state's daemons and their descendants. Other users' processes are not inspected."""
    covered = state / "run/libvirt"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if users_of(int(entry.name))[0] and int(entry.name) != os.getpid() and not _is_zombie(entry):
                marked = has_variable(int(entry.name), f"{MARK}={state}")
                if marked or (covered.exists() and (entry / "root/run/libvirt").samefile(covered)):
                    found.append(int(entry.name))
    return sorted(found)


def _is_zombie(process: Path) -> bool:
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
