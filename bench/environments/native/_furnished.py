"""What a program needs besides the files of its root file system, if that is a folder of the host: devices, /proc."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.core.remedies import as_root
from isobench.processes.programs import output

if TYPE_CHECKING:
    from pathlib import Path

_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
"""The character devices that a container has, and their numbers (Linux Documentation/admin-guide/devices.txt)."""
_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}


def make_devices(folder: Path) -> None:
    """Create the devices, links and shared memory of a container's /dev that are missing. Raises `MeasurementError`."""
    try:
        for name, numbers in _DEVICES.items():
            with suppress(FileExistsError):
                os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(*numbers))
                (folder / name).chmod(0o666)
        for name, target in _LINKS.items():
            with suppress(FileExistsError):
                (folder / name).symlink_to(target)
        (folder / "shm").mkdir(exist_ok=True)
        (folder / "shm").chmod(0o1777)
    except OSError as error:
        reason = f"no devices can be made for the program: {error.strerror}"
        raise MeasurementError(reason, remedy=as_root("give this container CAP_MKNOD")) from error


def mount_dev(folder: Path) -> None:
    """Mount a tmpfs for the devices if those in this folder could not be opened, because it is mounted with nodev, as a
    /tmp or a /var may be. Raises `MeasurementError`."""
    if not os.statvfs(folder).f_flag & os.ST_NODEV:
        return
    try:
        output(["mount", "-t", "tmpfs", "-o", "mode=755,nosuid,dev", "dev", str(folder)], deadlines.stretched(30))
    except MeasurementError as error:
        reason = f"no device can be opened in {folder}, as it is mounted with nodev, nor a tmpfs: {error.reason}"
        remedy = as_root("give this container CAP_SYS_ADMIN", "set ISOBENCH_WORK to a folder of another file system")
        raise MeasurementError(reason, remedy=remedy) from error


def mount_proc(folder: Path) -> None:
    """Mount the host's /proc. Raises `MeasurementError`."""
    try:
        output(["mount", "-t", "proc", "-o", "nosuid,noexec,nodev", "proc", str(folder)], deadlines.stretched(30))
    except MeasurementError as error:
        reason = f"/proc cannot be mounted for the program: {error.reason}"
        raise MeasurementError(reason, remedy=as_root("give this container CAP_SYS_ADMIN")) from error
