"""Mounts below a folder, and taking them away."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from pathlib import Path


def unmount_below(folder: Path) -> list[str]:
    """Unmount everything mounted at or below a folder, innermost first."""
    with suppress(OSError):
        points = mount_points(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
        place = folder.resolve()
        inside = [point for point in points if Path(point) == place or place in Path(point).parents]
        for point in sorted(inside, reverse=True):
            subprocess.run(["umount", "--lazy", "--no-canonicalize", point], check=False, capture_output=True)
        return inside
    return []


def mount_points(text: str) -> list[str]:
    """Where things are mounted, out of mountinfo, which writes a space as three octal digits (proc(5))."""
    fields = [line.split(" ") for line in text.splitlines()]
    return [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line[4]) for line in fields if len(line) > 4]
