"""CPU time of processes, precise enough for a single start; processes by name, parent, socket or command line."""

from __future__ import annotations

import os
import pwd
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from isobench.core import deadlines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """CPU seconds of a process with all its living and ended threads, to the nanosecond; 0.0 if it does not exist.

    From the process's own clock, as clock_getcpuclockid(3) names it. Optionally with that of its ended children, which
    /proc/PID/stat has in clock ticks.
    """
    total = 0.0
    if pid <= 0:  # the clock of "process 0" is the caller's
        return total
    with suppress(OSError, ValueError):
        total = time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
        if with_children:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return total


def guest_seconds(pid: int) -> float:
    """CPU seconds that a process spent in a KVM guest, in clock ticks (guest_time of /proc/PID/stat, proc(5)); part of
    the process's own. 0.0 for any other process."""
    with (
        suppress(OSError, ValueError, IndexError),
        open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file,
    ):
        return int(file.read().rpartition(")")[2].split()[40]) / os.sysconf("SC_CLK_TCK")
    return 0.0


QEMU_NAMES = ("qemu-system-", "qemu-kvm")
"""Prefixes of the names of QEMU's programs: upstream and Debian, Red Hat."""


def is_vmm(pid: int) -> bool:
    """Whether a process is QEMU, by its name."""
    return process_name(pid).startswith(QEMU_NAMES)


_CPUCLOCK_SCHED = 2
"""The process clock that has the scheduler's count (include/linux/posix-timers.h)."""

_KTHREADD = 2
"""kthreadd, the parent of all other kernel threads (kernel/kthread.c); its pid unless a pid namespace hides it."""


def kernel_threads() -> dict[int, float]:
    """CPU seconds of every kernel thread by its pid: the CPU time for freeing a namespace is spent only there.

    Empty if the host's kernel threads are not visible.
    """
    if not shows_kernel_threads():
        return {}
    return {pid: cpu_seconds(pid) for pid in (_KTHREADD, *children(_KTHREADD))}


def shows_kernel_threads() -> bool:
    """Whether the host's kernel threads are visible: they are not from another PID namespace."""
    return process_name(_KTHREADD) == "kthreadd"


def spent_between(before: dict[int, float], after: dict[int, float]) -> float:
    """CPU seconds between two readings of `kernel_threads`; threads that ended in between are not counted."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def peer_pid(path: str) -> int:
    """The process that listens on a unix socket; 0 if there is none."""
    import socket
    import struct

    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(deadlines.stretched(5))
        connection.connect(path)
        size = struct.calcsize("3i")
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0])
    return 0


def process_name(pid: int) -> str:
    """A process's name as in /proc/PID/comm, or nothing."""
    return text_of(f"/proc/{pid}/comm")


def called(pids: Iterable[int]) -> str:
    """The names of these processes, for the record."""
    return ", ".join(map(process_name, pids))


def command_line(pid: int) -> bytes:
    """A process's arguments, a zero byte after each, or nothing."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


def descriptors(pid: int) -> list[str]:
    """What a process has open, as the links in /proc/PID/fd name it; empty if that may not be read."""
    found = []
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):  # closed meanwhile
                found.append(os.readlink(entry.path))  # noqa: PTH115 (not a path)
    return found


def cgroups_of(pid: int) -> str:
    """The cgroups of a process as in /proc/PID/cgroup, or nothing."""
    return text_of(f"/proc/{pid}/cgroup")


def controller_folder(text: str, controller: str, root: Path) -> Path | None:
    """The folder of a process's cgroup that has this controller, from /proc/PID/cgroup: version 1's hierarchy of it, or
    version 2's tree. `root` is where cgroups are mounted."""
    unified: Path | None = None
    for controllers, path in cgroup_paths(text):
        if controller in controllers:
            return root / controller / path.lstrip("/")
        if controllers == [""]:
            unified = root / path.lstrip("/")
    return unified


def cgroup_paths(text: str) -> list[tuple[list[str], str]]:
    """The controllers and the path of each hierarchy in /proc/PID/cgroup, [""] for version 2's; others are ignored."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    return [(line[1].split(","), line[2]) for line in lines if len(line) == 3 and _is_path(line[2])]


def _is_path(path: str) -> bool:
    return path.startswith("/") and "\0" not in path


def text_of(file: Path | str) -> str:
    """The text of a kernel file without surrounding whitespace; empty if it cannot be read."""
    with suppress(OSError), open(file, encoding="utf-8", errors="replace") as opened:
        return opened.read().strip()
    return ""


def parent(pid: int) -> int:
    """The parent of a process; 0 if it does not exist."""
    with suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])
    return 0


def children(pid: int) -> list[int]:
    """The living children of all threads of a process."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
    return found


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`, parents before children."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def users_of(pid: int) -> tuple[bool, bool]:
    """Whether a process is this user's or root's, and whether it is QEMU's own user's (libvirt runs QEMU as one).

    By its real and its effective user, not by the owner of its folder in /proc, which is root also for a process that
    hides its memory. Another user's command line is never read: its text is arbitrary, and reading it can be made to
    hang.
    """
    with suppress(OSError, ValueError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        line = next(line for line in file if line.startswith("Uid:"))
        users = {int(word) for word in line.split()[1:3]}
        return users in ({os.geteuid()}, {0}), len(users) == 1 and users <= set(qemu_users())
    return False, False


@cache
def qemu_users() -> tuple[int, ...]:
    """The user ids under which a system's libvirt runs QEMU, if these users exist."""
    found = []
    for name in ("libvirt-qemu", "qemu"):
        with suppress(KeyError):
            found.append(pwd.getpwnam(name).pw_uid)
    return tuple(found)


def pids_with(*words: str) -> list[int]:
    """The processes whose command line contains all these words, oldest first; none of other users (see `users_of`)."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    lines = ((pid, command_line(pid)) for pid in pids if any(users_of(pid)))
    return sorted(pid for pid, line in lines if all(os.fsencode(word) in line for word in words))
