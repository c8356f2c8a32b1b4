"""The disk beneath a folder: what a limit of bytes a second is set for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from isobench.core.errors import Unavailable
from isobench.processes.accounting import text_of

_BLOCK = Path("/sys/dev/block")


class Disk(NamedTuple):
    """A whole disk: the kernel sets no limit for a partition."""

    number: str
    """Its device number: "254:0"."""
    path: str
    """Its name in /dev."""


def disk_beneath(folder: Path) -> Disk:
    """The disk on which this folder's file system lies. Raises `Unavailable` if it lies on none, or on several."""
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
