"""The disk beneath a folder, for limits on its writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from isobench.core.errors import Unavailable
from isobench.processes.accounting import text_of

_BLOCK = Path("/sys/dev/block")


class Disk(NamedTuple):
    """A whole disk, because the kernel cannot limit a partition."""

    number: str
    """Its device number: "254:0"."""
    path: str
    """Its name in /dev."""


def disk_beneath(folder: Path) -> Disk:
    """The disk of this folder's file system. Raises `Unavailable` if it has none, or several."""
    try:
        device = folder.stat().st_dev
    except OSError as error:
        raise Unavailable(f"the disk of {folder} is not known: {error.strerror}") from error
    number = f"{os.major(device)}:{os.minor(device)}"
    place = (_BLOCK / number).resolve()
    if (place / "partition").exists():
        place = place.parent
    words = dict(line.partition("=")[::2] for line in text_of(place / "uevent").splitlines())
    if "DEVNAME" not in words:
        raise Unavailable(f"the file system of {folder} lies on no disk of its own (device {number})")
    return Disk(text_of(place / "dev"), f"/dev/{words['DEVNAME']}")
