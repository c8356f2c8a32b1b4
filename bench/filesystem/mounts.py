"""Mounts below a folder, and unmounting them."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

_DETACH, _NOFOLLOW = 2, 8
"""MNT_DETACH and UMOUNT_NOFOLLOW of sys/mount.h."""


def unmount_below(folder: Path) -> list[str]:
    """Unmount everything at or below a folder, innermost first; returns what was unmounted. See `mounted_below`."""
    before = mounted_below(folder)
    for point in before:
        with suppress(OSError):
            _unmount(Path(point))
    left = mounted_below(folder)
    return [point for point in before if point not in left]


def mounted_below(folder: Path) -> list[str]:
    """The mounts at or below a folder, innermost first. None if the folder itself is a link."""
    points = mount_points(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    place = folder.parent.resolve() / folder.name
    return sorted((point for point in points if Path(point) == place or place in Path(point).parents), reverse=True)


def remove_tree(folder: Path) -> list[str]:
    """Unmount what is below a folder and remove it. If mounts remain, nothing is removed, and they are returned."""
    unmount_below(folder)
    left = mounted_below(folder)
    if not left:
        shutil.rmtree(folder, ignore_errors=True)
    return left


def mount_points(text: str) -> list[str]:
    """Mount points from mountinfo, which writes a space as three octal digits (proc(5))."""
    fields = [line.split(" ") for line in text.splitlines()]
    return [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line[4]) for line in fields if len(line) > 4]


def _unmount(point: Path) -> None:
    """Unmount without following links: the kernel's path contains none, so a link there was placed later."""
    descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for name in point.parts[1:-1]:
            inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        place = os.fsencode(f"/proc/self/fd/{descriptor}/{point.name}")
        if ctypes.CDLL(None, use_errno=True).umount2(place, _DETACH | _NOFOLLOW) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(point))
    finally:
        os.close(descriptor)
