"""What is done with the disks of virtual machines: the protocol between scenarios and the sandboxes whose instances can
have a given disk as their root."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path

DISK_KINDS = ("distroless", "slim")
"""The kinds of images (`isobench.contracts.image_kinds`) whose files are also put on disks."""
WAYS = {
    "copy": "a copy of the source",
    "reflink": "a copy that shares its blocks",
    "qcow2": "a qcow2 with a backing file",
}
"""How an instance's own disk is made from the source, by name (bench/guests/disk.py has the commands)."""


class Disk(NamedTuple):
    """One disk for one instance."""

    file: Path
    format: str
    """Its format as QEMU calls it: "raw", "qcow2"."""


class Disks(Protocol):
    """The disks of a sandbox. A call returns when it is done, and raises `MeasurementError` with the reason
    otherwise."""

    def source(self, root: Path) -> Path:
        """The raw disk with this root file system (an archive), from which the others are made; untimed."""
        ...

    def make(self, source: Path, way: str) -> Disk:
        """Make one more disk from the source, in one of the `WAYS`."""
        ...

    def own_bytes(self, disk: Disk) -> int | None:
        """Bytes of the blocks that this disk alone takes; None if that cannot be determined here."""
        ...

    def remove(self, disk: Disk) -> None:
        """Remove a disk that no instance uses."""
        ...

    def clear(self) -> None:
        """Remove every disk that was made, but no source; untimed."""
        ...
