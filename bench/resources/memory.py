"""Memory accounting: the host's memory for an instance, measured in independent ways. All values in bytes."""

from __future__ import annotations

import mmap
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.host.machine import parse_meminfo
from isobench.processes.accounting import cgroups_of, controller_folder, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from isobench.contracts.environment import Instance, Role

KERNEL_PARTS = ("Slab", "PageTables", "KernelStack", "Percpu")
"""The parts of /proc/meminfo that the kernel takes for itself on behalf of processes, cgroups and namespaces."""

_CGROUPS = Path("/sys/fs/cgroup")


class ProcessMemory(NamedTuple):
    """One process, from /proc/PID/smaps_rollup. PSS shares each page among those that map it."""

    pss: int
    uss: int
    rss: int


class CgroupMemory(NamedTuple):
    """The memory charged to a cgroup: total, parts, and peak; None for what the kernel does not report."""

    total: int
    anonymous: int | None
    file: int | None
    kernel: int | None
    peak: int | None = None


def process_memory(pids: Iterable[int]) -> ProcessMemory:
    """The sum over these processes; one that has ended counts as zero.

    All zero if one of them may not be read: a partial sum would be mistaken for the total.
    """
    found = [ProcessMemory(0, 0, 0)]
    for pid in pids:
        try:
            found.append(parse_smaps_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text(errors="replace")))
        except PermissionError:
            return ProcessMemory(0, 0, 0)
        except OSError:
            continue
    return ProcessMemory(*(sum(part) for part in zip(*found, strict=True)))


def by_role(pids: Mapping[int, Role]) -> dict[Role, ProcessMemory]:
    """The memory of an instance's processes, by role."""
    roles: set[Role] = set(pids.values())
    return {role: process_memory(pid for pid, its in pids.items() if its == role) for role in roles}


def cgroup_memory(instance: Instance) -> CgroupMemory | None:
    """The memory of the instance's own cgroup; None if it has none of its own (it is in the harness's).

    Call `add_up` first if its parts matter.
    """
    pids = instance.host_pids()
    payload = next((pid for pid, role in pids.items() if role == "payload"), None)
    if payload is None:
        return None
    folder = memory_cgroup(cgroups_of(payload))
    if folder is None or folder == memory_cgroup(cgroups_of(os.getpid())):
        return None
    folder = charged(folder, pids)
    if folder is None:
        return None
    total = text_of(folder / "memory.current") or text_of(folder / "memory.usage_in_bytes")
    if not total.isdigit():
        return None
    stat = parse_memory_stat(text_of(folder / "memory.stat"))
    kernel = text_of(folder / "memory.kmem.usage_in_bytes")
    peak = text_of(folder / "memory.peak") or text_of(folder / "memory.max_usage_in_bytes")
    return CgroupMemory(
        total=int(total),
        anonymous=stat.get("anon", stat.get("rss")),
        file=stat.get("file", stat.get("cache")),
        kernel=stat.get("kernel", int(kernel) if kernel.isdigit() else None),
        peak=int(peak) if peak.isdigit() else None,
    )


def charged(folder: Path, pids: Collection[int]) -> Path | None:
    """The cgroup that is charged with the memory of `folder`: itself, or the nearest one above it with a count.

    On version 2 a threaded cgroup (libvirt's for QEMU's threads) has no count of its own, nor has one whose parent does
    not delegate the memory controller (cgroups(7)). None if other processes are charged there, too.
    """
    here = folder
    while not any((here / name).exists() for name in _COUNTS):
        if here in (_CGROUPS, here.parent):
            return None
        here = here.parent
    if here != folder and not _members(here) <= set(pids):
        return None
    return here


_COUNTS = ("memory.current", "memory.usage_in_bytes")


def _members(folder: Path) -> set[int]:
    """The processes in a cgroup and below; those of a threaded cgroup are listed in the domain above it."""
    found: set[int] = set()
    for file in folder.rglob("cgroup.procs"):
        found.update(int(word) for word in text_of(file).split() if word.isdigit())
    return found


def add_up() -> None:
    """Make the kernel flush its per-CPU counts of cgroups: memory.stat lags behind by up to two seconds.

    A read flushes them only if enough has changed there or below (MEMCG_CHARGE_BATCH pages per CPU, mm/memcontrol.c);
    otherwise the kernel does every two seconds. So this process allocates enough, and reads the statistics of the root.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    size = min(_MOST_CHANGED, 2 * _BATCH * (os.cpu_count() or 1) * page)
    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, page):
            memory[at] = 1
        for folder in (_CGROUPS / "memory", _CGROUPS):
            text_of(folder / "memory.stat")


_BATCH = 64
"""MEMCG_CHARGE_BATCH of the kernel's include/linux/memcontrol.h."""
_MOST_CHANGED = 256 << 20
"""The most bytes to allocate for that: enough for 512 CPUs."""


def settle() -> None:
    """Make the kernel flush its per-CPU counters (root only): otherwise up to a megabyte per CPU is missing."""
    with suppress(OSError):
        Path("/proc/sys/vm/stat_refresh").read_bytes()


def available_memory() -> int:
    """MemAvailable plus the free pages on the CPUs' own lists, which it counts as used.

    Those lists hold tens of megabytes per CPU and vary from one second to the next (mm/page_alloc.c).
    """
    free = per_cpu_free(text_of(Path("/proc/zoneinfo"))) * os.sysconf("SC_PAGE_SIZE")
    return parse_meminfo(text_of(Path("/proc/meminfo"))).get("MemAvailable", 0) + free


def kernel_memory() -> dict[str, int]:
    """The kernel's own memory by part, host-wide."""
    found = parse_meminfo(text_of(Path("/proc/meminfo")))
    return {name: found[name] for name in KERNEL_PARTS if name in found}


def parse_smaps_rollup(text: str) -> ProcessMemory:
    """Parse /proc/PID/smaps_rollup; USS is the private memory, clean or dirty."""
    kib = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+):\s+(\d{1,15}) kB$", text, re.MULTILINE | re.ASCII)}
    private = kib.get("Private_Clean", 0) + kib.get("Private_Dirty", 0)
    return ProcessMemory(kib.get("Pss", 0) * 1024, private * 1024, kib.get("Rss", 0) * 1024)


def per_cpu_free(text: str) -> int:
    """Pages on the free lists of all CPUs, out of /proc/zoneinfo."""
    return sum(int(count) for count in re.findall(r"^\s+count:\s+(\d{1,15})$", text, re.MULTILINE | re.ASCII))


def memory_cgroup(text: str) -> Path | None:
    """The folder of a process's memory cgroup, from /proc/PID/cgroup."""
    return controller_folder(text, "memory", _CGROUPS)


def parse_memory_stat(text: str) -> dict[str, int]:
    """memory.stat of either version."""
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) (\d{1,18})$", text, re.MULTILINE | re.ASCII)}
