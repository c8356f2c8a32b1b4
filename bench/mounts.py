"""Mounts below a folder, and taking them away."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path


def unmount_below(folder: Path) -> list[str]:
    """Unmount everything mounted at or below a folder, innermost first; what is gone then. See `mounted_below`."""
    before = mounted_below(folder)
    for point in before:
        with suppress(OSError):
            subprocess.run(["umount", "--lazy", "--no-canonicalize", point], check=False, capture_output=True)
    left = mounted_below(folder)
    return [point for point in before if point not in left]


def mounted_below(folder: Path) -> list[str]:
    """What is mounted at or below a folder right now, innermost first."""
    points = mount_points(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    place = folder.resolve()
    return sorted((point for point in points if Path(point) == place or place in Path(point).parents), reverse=True)


def remove_tree(folder: Path) -> list[str]:
    """Unmount what is below a folder and remove it. Where a mount stays nothing is removed: those mounts."""
    unmount_below(folder)
    left = mounted_below(folder)
    if not left:
        shutil.rmtree(folder, ignore_errors=True)
    return left


def mount_points(text: str) -> list[str]:
    """Where things are mounted, out of mountinfo, which writes a space as three octal digits (proc(5))."""
    fields = [line.split(" ") for line in text.splitlines()]
    return [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line[4]) for line in fields if len(line) > 4]
