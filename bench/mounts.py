"""Mounts below a folder, and taking them away."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path


def unmount_below(folder: Path) -> list[str]:
    """Unmount everything mounted at or below a folder, innermost first."""
    with suppress(OSError):
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
        inside = [point for point in points if point == str(folder) or point.startswith(f"{folder}/")]
        for point in sorted(inside, reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
        return inside
    return []
