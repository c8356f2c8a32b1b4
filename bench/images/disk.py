"""The guest's disk: the shared root file system in an ext4 image, made without mounting anything."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from isobench.core import deadlines
from isobench.core.errors import BuildError
from isobench.filesystem.cache import cached
from isobench.images.rootfs import rootfs_path

SIZE = "2G"
"""Sparse: unused space takes no room on the host."""


@cache
def disk_image() -> Path:
    """The image in the cache; an instance works on a copy. Raises `BuildError`."""
    key = rootfs_path().parent.name.removeprefix("rootfs-")
    return cached("disk", key, lambda folder: _make(folder / "disk.raw")) / "disk.raw"


def copy_disk(target: Path, kind: str = "raw") -> None:
    """A sparse copy of the image for one instance, sharing its blocks where the file system can."""
    if kind == "raw":
        command = ["cp", "--sparse=always", "--reflink=auto", str(disk_image()), str(target)]
    else:
        command = ["qemu-img", "convert", "-O", kind, str(disk_image()), str(target)]
    _run(command, "copying the guest's disk")


def _make(target: Path) -> None:
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(rootfs_path()), "-E", "root_owner=0:0,lazy_itable_init=0"]
    _run([*command, str(target), SIZE], "making the guest's disk")
    target.chmod(0o644)


def _run(command: list[str], doing: str) -> None:
    try:
        subprocess.run(command, capture_output=True, errors="replace", check=True, timeout=deadlines.stretched(300))
    except FileNotFoundError as error:
        remedy = "apt-get install e2fsprogs qemu-utils"
        raise BuildError(f"{doing}: {command[0]} is missing", remedy=remedy) from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{doing}: {error.stderr.strip()[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{doing} took too long") from error
