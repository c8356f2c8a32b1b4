"""Memory accounting: what the host spends on an instance, counted in independent ways. Bytes throughout."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.host.accounting import cgroups_of
from isobench.host.machine import parse_meminfo

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
    """What a cgroup is charged with: all, and its parts; None for what the kernel does not tell."""

    total: int
    anonymous: int | None
    file: int | None
    kernel: int | None


def process_memory(pids: Iterable[int]) -> ProcessMemory:
    """The sum over these processes; one that has vanished counts as nothing.

    All zero where one of them may not be read: a part would be taken for the whole.
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
    """The processes of an instance, payload and helpers apart."""
    roles: set[Role] = set(pids.values())
    return {role: process_memory(pid for pid, its in pids.items() if its == role) for role in roles}


def cgroup_memory(instance: Instance) -> CgroupMemory | None:
    """The count of the instance's own memory cgroup; None where it has none of its own (it sits in the harness's).

    `add_up` first, where its parts matter.
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
    total = _text(folder / "memory.current") or _text(folder / "memory.usage_in_bytes")
    if not total.isdigit():
        return None
    stat = parse_memory_stat(_text(folder / "memory.stat"))
    kernel = _text(folder / "memory.kmem.usage_in_bytes")
    return CgroupMemory(
        total=int(total),
        anonymous=stat.get("anon", stat.get("rss")),
        file=stat.get("file", stat.get("cache")),
        kernel=stat.get("kernel", int(kernel) if kernel.isdigit() else None),
    )


def charged(folder: Path, pids: Collection[int]) -> Path | None:
    """The cgroup that is charged with the memory of what is in `folder`: it, or the nearest above it with a count.

    On version 2 a threaded cgroup (libvirt's for QEMU's threads) has none of its own, nor has one whose parent hands no
    memory controller down (cgroups(7)). None where others than these processes are charged there, too.
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
    """The processes in a cgroup and below; a threaded one's are listed by the domain above it."""
    found: set[int] = set()
    for file in folder.rglob("cgroup.procs"):
        found.update(int(word) for word in _text(file).split() if word.isdigit())
    return found


def add_up() -> None:
    """Have the kernel add up what its CPUs count of cgroups apart: memory.stat lags behind by up to two seconds.

    It is added up when it is read and enough has changed there or below since (MEMCG_CHARGE_BATCH pages a CPU,
    mm/memcontrol.c), else every two seconds. So this process changes enough, and reads the statistics of the root.
    """
    import mmap

    page = os.sysconf("SC_PAGE_SIZE")
    size = min(_MOST_CHANGED, 2 * _BATCH * (os.cpu_count() or 1) * page)
    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, page):
            memory[at] = 1
        for folder in (_CGROUPS / "memory", _CGROUPS):
            _text(folder / "memory.stat")


_BATCH = 64
"""MEMCG_CHARGE_BATCH of the kernel's include/linux/memcontrol.h."""
_MOST_CHANGED = 256 << 20
"""Bytes that are changed at most: enough for 512 CPUs."""


def settle() -> None:
    """Have the kernel add up what its CPUs count apart (root only): up to a megabyte a CPU would be missing."""
    with suppress(OSError):
        Path("/proc/sys/vm/stat_refresh").read_bytes()


def available_memory() -> int:
    """MemAvailable, and the free pages that CPUs keep on lists of their own, which it takes for used.

    Those lists hold tens of megabytes a CPU, and more or fewer from one second to the next (mm/page_alloc.c).
    """
    free = per_cpu_free(_text(Path("/proc/zoneinfo"))) * os.sysconf("SC_PAGE_SIZE")
    return parse_meminfo(_text(Path("/proc/meminfo"))).get("MemAvailable", 0) + free


def kernel_memory() -> dict[str, int]:
    """The kernel's own parts, host-wide."""
    found = parse_meminfo(_text(Path("/proc/meminfo")))
    return {name: found[name] for name in KERNEL_PARTS if name in found}


def parse_smaps_rollup(text: str) -> ProcessMemory:
    """/proc/PID/smaps_rollup; USS is what is private, clean or dirty."""
    kib = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+):\s+(\d{1,15}) kB$", text, re.MULTILINE | re.ASCII)}
    private = kib.get("Private_Clean", 0) + kib.get("Private_Dirty", 0)
    return ProcessMemory(kib.get("Pss", 0) * 1024, private * 1024, kib.get("Rss", 0) * 1024)


def per_cpu_free(text: str) -> int:
    """Pages on the free lists of all CPUs, out of /proc/zoneinfo."""
    return sum(int(count) for count in re.findall(r"^\s+count:\s+(\d{1,15})$", text, re.MULTILINE | re.ASCII))


def memory_cgroup(text: str) -> Path | None:
    """The folder of a process's memory cgroup out of /proc/PID/cgroup: v1's memory controller, or v2's tree."""
    unified: Path | None = None
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/") or "\0" in path:
            continue
        if "memory" in controllers.split(","):
            return _CGROUPS / "memory" / path.lstrip("/")
        if number == "0" and controllers == "":
            unified = _CGROUPS / path.lstrip("/")
    return unified


def parse_memory_stat(text: str) -> dict[str, int]:
    """memory.stat of either version."""
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) (\d{1,18})$", text, re.MULTILINE | re.ASCII)}


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
