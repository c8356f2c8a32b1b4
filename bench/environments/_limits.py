"""The limits of an instance as values for the files of its cgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.resources.cgroups import Writes
from isobench.resources.disks import disk_beneath

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.launch import Limits


def in_a_cgroup(limits: Limits, memory_bytes: int, folder: Path) -> dict[str, Any]:
    """The arguments of `isobench.resources.cgroups.asked`; `folder` is on the disk to which writes are limited.

    Raises `Unavailable` if writes are to be limited and the folder is not on a disk.
    """
    writes = None
    if limits.write_bytes or limits.write_operations:
        writes = Writes(disk_beneath(folder).number, limits.write_bytes, limits.write_operations)
    return {
        "memory_bytes": memory_bytes,
        "swap_bytes": limits.swap_bytes,
        "cpu_percent": limits.cpu_percent,
        "cpu_weight": limits.cpu_weight,
        "processes": limits.processes,
        "writes": writes,
    }
