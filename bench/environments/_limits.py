"""The limits of an instance as values for the files of its cgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.resources.cgroups import DiskRates
from isobench.resources.disks import disk_beneath

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.launch import Limits


def in_a_cgroup(limits: Limits, memory_bytes: int, folder: Path) -> dict[str, Any]:
    """The arguments of `isobench.resources.cgroups.asked`; `folder` is on the disk that is limited.

    Raises `Unavailable` if reads or writes are to be limited and the folder is not on a disk.
    """
    rates = (limits.write_bytes, limits.write_operations, limits.read_bytes, limits.read_operations)
    disk = DiskRates(disk_beneath(folder).number, *rates) if any(rates) else None
    return {
        "memory_bytes": memory_bytes,
        "swap_bytes": limits.swap_bytes,
        "cpu_percent": limits.cpu_percent,
        "cpu_weight": limits.cpu_weight,
        "processes": limits.processes,
        "disk": disk,
    }
