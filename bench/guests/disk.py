"""The guest's disk: a root file system in an ext4 image, made without mounting anything; and how an instance's own disk
is made from another one."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

from isobench.contracts.disks import Disk
from isobench.core import deadlines
from isobench.core.errors import BuildError
from isobench.filesystem.cache import cached
from isobench.images.archive import identity, unpack
from isobench.images.rootfs import rootfs_path
from isobench.processes.programs import find, output

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


_WAYS = {
    "copy": ("raw", ("cp", "--reflink=never", "SOURCE", "DISK")),
    "reflink": ("raw", ("cp", "--reflink=always", "SOURCE", "DISK")),
    "qcow2": ("qcow2", ("qemu-img", "create", "-q", "-f", "qcow2", "-b", "SOURCE", "-F", "raw", "DISK")),
}
"""Way (`isobench.contracts.disks.WAYS`) -> the format of the disk, and the command that makes it. cp keeps holes."""


def command_of(way: str) -> str:
    """The command that makes a disk in this way, for the record."""
    return " ".join(_WAYS[way][1])


def make_disk(way: str, source: Path, target: Path) -> Disk:
    """Make an instance's own disk from a raw one. Raises `MeasurementError` with what the command says."""
    kind, words = _WAYS[way]
    given = {"SOURCE": str(source), "DISK": str(target)}
    output([given.get(word, word) for word in words], deadlines.stretched(300))
    return Disk(target, kind)


_FICLONE = 0x40049409
"""The request of linux/fs.h on x86 and ARM; Python has its name since 3.12."""


def why_no_reflink(folder: Path) -> str:
    """Why files in a folder cannot share their blocks (ioctl_ficlone(2)), found by trying; empty if they can."""
    try:
        with TemporaryFile(dir=folder) as source, TemporaryFile(dir=folder) as target:
            source.write(bytes(1 << 16))
            source.flush()
            fcntl.ioctl(target, _FICLONE, source.fileno())
    except OSError as error:
        return f"the file system of {folder} cannot share blocks (reflink): {error.strerror}"
    return ""


_EXTENT = re.compile(r"^ *\d+: *\d+\.\. *\d+: *\d+\.\. *\d+: *(?P<kib>\d+):.*\bshared\b", re.MULTILINE)
"""Matches an extent in the output of `filefrag -v` that other files share."""


def own_bytes(file: Path) -> int | None:
    """Bytes of the blocks of a file that no other file shares; None if that takes filefrag (e2fsprogs), and there is
    none."""
    blocks = file.stat().st_blocks * 512
    if why_no_reflink(file.parent):
        return blocks
    program = find("filefrag")
    if program is None:
        return None
    told = output([program, "-v", "-k", str(file)], deadlines.stretched(60))
    return max(0, blocks - 1024 * sum(int(extent["kib"]) for extent in _EXTENT.finditer(told)))


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
