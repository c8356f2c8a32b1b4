"""CPU time of other people's processes while a run measures.

The counters of the whole host cannot distinguish them from isobench's own work: on two CPUs a build and a guest without
KVM keep both busy, but hardly any task waits. Processes are distinguished by descent. Those of others existed before
the run, or have an ancestor that did; everything else counts as the run's own, since an engine's instances descend from
no process of the run.
"""

from __future__ import annotations

import fnmatch
import os
import time
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_HOSTS_OWN = (
    "systemd*",
    "(sd-*",
    "(udev-worker)",
    "udevd",
    "dbus-*",
    "rsyslogd",
    "auditd",
    "polkitd",
    "NetworkManager",
)
"""Programs that react to everything on a host, including instances, by their names in /proc/PID/comm."""
_REAPER = "probe"
"""isobench's own guard of private daemons: it adopts their instances, and inherits their CPU time when they end."""
_EACH = 1.0
"""Seconds between two readings: each reads one file of every process."""
_KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of a process's flags (include/linux/sched.h)."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """One line of the process table."""

    parent: int
    name: str
    started: int
    """Start in clock ticks since boot. With the pid it identifies a process, since pids are reused."""
    seconds: float
    """CPU seconds of all its threads, and of the ended children that it waited for."""


class Others:
    """Adds up the CPU time of other people's processes by name. Patterns (fnmatch) of names say which of them
    nevertheless work for the run: `daemons` that existed before it, and `programs` that were started since, whose
    parent may be any process that adopts orphans (prctl(2), PR_SET_CHILD_SUBREAPER)."""

    def __init__(self, daemons: Collection[str] = (), programs: Collection[str] = ()) -> None:
        self._serving = (*daemons, *_HOSTS_OWN, _REAPER)
        self._programs = tuple(programs)
        self._before = self._first = table()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._looked = time.monotonic()

    def look(self) -> None:
        """Count what was spent since the last reading, unless that was just now."""
        if time.monotonic() - self._looked >= _EACH:
            self._count()

    def spent(self) -> dict[str, float]:
        """CPU seconds by process name since the last call."""
        self._count()
        spent, self._spent = self._spent, defaultdict(float)
        return dict(spent)

    def _count(self) -> None:
        now, before = table(), self._before
        others = {pid for pid in now if self._is_others(pid, now)}
        for pid in others:
            known = pid in before and before[pid].started == now[pid].started
            self._spent[now[pid].name] += now[pid].seconds - (before[pid].seconds if known else 0.0)
        for pid, ended in before.items():
            is_same = pid in now and now[pid].started == ended.started
            if not is_same and ended.parent in others:
                self._spent[now[ended.parent].name] -= (
                    ended.seconds
                )  # its parent has inherited it, whoever the parent belongs to
        self._before, self._looked = now, time.monotonic()

    def _is_others(self, pid: int, processes: Mapping[int, Process]) -> bool:
        line = _ancestry(pid, processes)
        if os.getpid() in line:
            return False
        for one_pid, one in line.items():
            if _is_called(one.name, self._serving):
                return False
            if one_pid in self._first and self._first[one_pid].started == one.started:
                return True
            if _is_called(one.name, self._programs):
                return False
        return False


def _ancestry(pid: int, processes: Mapping[int, Process]) -> dict[int, Process]:
    """A process and its ancestors, without init, which adopts all orphans."""
    line: dict[int, Process] = {}
    while pid > 1 and pid in processes and pid not in line:
        line[pid] = processes[pid]
        pid = processes[pid].parent
    return line


def _is_called(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def table() -> dict[int, Process]:
    """Every process that is visible here by its pid, without the kernel's own threads."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                one = parse_stat(file.read())
                if one is not None:
                    found[int(entry)] = one
    return found


def parse_stat(line: bytes) -> Process | None:
    """A process from its /proc/PID/stat (proc(5)); None for a kernel thread, or for a malformed line."""
    head, _, rest = line.rpartition(b")")
    name, fields = head.partition(b"(")[2].decode(errors="replace"), rest.split()
    if len(fields) < 20 or not all(fields[at].isdigit() for at in (1, 6, 11, 12, 19)):
        return None
    if int(fields[6]) & _KERNEL_THREAD:
        return None
    spent = sum(int(ticks) for ticks in fields[11:15] if ticks.isdigit())
    return Process(int(fields[1]), name, int(fields[19]), spent / _TICKS)
