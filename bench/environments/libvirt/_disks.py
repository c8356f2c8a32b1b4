"""Disks for guests, in the work folder of their sandbox."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from isobench.environments.libvirt._daemons import give_to_qemu
from isobench.guests.disk import copy_disk, make_disk, own_bytes
from isobench.images.archive import identity

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.disks import Disk

_SOURCE = ".raw"
"""How the name of a disk ends from which others are made. AppArmor lets virt-aa-helper look only at files with the
suffix of a disk, and a guest reads only the backing files that it has found."""


class GuestDisks:
    """The disks of one sandbox (`isobench.contracts.disks.Disks`)."""

    def __init__(self, workdir: Path) -> None:
        self._place = workdir / "disks"
        self._numbers = itertools.count(1)
        self._sources: set[Path] = set()

    def source(self, root: Path) -> Path:
        """A copy of the disk in the cache, so that all disks are on one file system."""
        source = self._place / f"{identity(root)}{_SOURCE}"
        if source not in self._sources:
            self._place.mkdir(mode=0o711, exist_ok=True)
            copy_disk(source, root=root)
            source.chmod(0o644)  # QEMU reads it as another user, and nobody writes to it
            self._sources.add(source)
        return source

    def make(self, source: Path, way: str) -> Disk:
        disk = make_disk(way, source, self._place / f"{next(self._numbers)}.{way}")
        give_to_qemu(disk.file)
        return disk

    def own_bytes(self, disk: Disk) -> int | None:
        return own_bytes(disk.file)

    def remove(self, disk: Disk) -> None:
        disk.file.unlink()

    def clear(self) -> None:
        for file in self._place.iterdir():
            if file.suffix != _SOURCE:
                file.unlink()
