"""The guest's disk: a root file system in an ext4 image, made without mounting anything."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from isobench.core import deadlines
from isobench.core.errors import BuildError
from isobench.filesystem.cache import cached
from isobench.images.archive import identity, unpack
from isobench.images.rootfs import rootfs_path

SIZE_MIB = 2048
"""Sparse: unused space takes no space on the host."""


@cache
def disk_image(root: Path | None = None) -> Path:
    """The image in the cache, of the shared root file system or of an archive's; an instance works on a copy.

    Raises `BuildError`.
    """
    if root is not None:
        return cached("workload-disk", identity(root), lambda folder: _unpack_and_make(root, folder)) / "disk.raw"
    key = rootfs_path().parent.name.removeprefix("rootfs-")
    return cached("disk", key, lambda folder: _make(rootfs_path(), folder / "disk.raw", SIZE_MIB)) / "disk.raw"


def copy_disk(target: Path, kind: str = "raw", root: Path | None = None) -> None:
    """A sparse copy of the image for one instance, sharing its blocks where the file system can."""
    if kind == "raw":
        command = ["cp", "--sparse=always", "--reflink=auto", str(disk_image(root)), str(target)]
    else:
        command = ["qemu-img", "convert", "-O", kind, str(disk_image(root)), str(target)]
    _run(command, "copying the guest's disk")


def _unpack_and_make(root: Path, folder: Path) -> None:
    """With as much free space as the total size of the shared disk."""
    tree = folder / "tree"
    unpack(root, tree)
    _make(tree, folder / "disk.raw", SIZE_MIB + (root.stat().st_size >> 19))
    shutil.rmtree(tree)


def _make(tree: Path, target: Path, mebibytes: int) -> None:
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), "-E", "root_owner=0:0,lazy_itable_init=0"]
    _run([*command, str(target), f"{mebibytes}M"], "making the guest's disk")
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
