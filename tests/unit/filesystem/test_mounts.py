"""Where something is mounted, as the kernel tells it."""

from __future__ import annotations

from isobench.filesystem.mounts import mount_points


def test_mount_points_with_odd_names() -> None:
    """mountinfo writes a space as three octal digits, and letters beyond ASCII as they are."""
    line = "36 35 98:0 / /mnt/a\\040ü,b:c\\134d rw - ext3 /dev/root rw"
    assert mount_points(line) == ["/mnt/a ü,b:c\\d"]
