"""The one root file system that every environment uses: the probe, fio with its libraries, and empty folders.

Built once per content in the cache, then linked, copied or packed by the environments. On a host without fio it is
built without it (bench/images/fio.py), and everything except I/O is measured.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.images.fio import COMMAND, host_fio
from isobench.probe.build import probe_path

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS = ("data", "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/lib", "var")
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/probe\nnobody:x:65534:65534:nobody:/:/probe\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/os-release": 'ID=isobench\nNAME="isobench"\nPRETTY_NAME="isobench root file system"\n',
    "etc/hostname": "isobench\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/resolv.conf": "",
}
_MODE = 0o755
"""Mode of every folder, including /tmp: other users of the host can reach them."""
MTIME = 1_700_000_000
"""Every file's time, so that the same content gives the same archive."""


@cache
def rootfs_path() -> Path:
    """The root file system's folder in the cache, made now if it is not there. Raises `BuildError`."""
    fio = host_fio()
    wanted = {Path("probe"): probe_path(), **fio.files}
    texts = {**TEXTS, **({str(COMMAND): fio.command} if fio.command else {})}
    parts = [f"{inside}".encode() + outside.read_bytes() for inside, outside in sorted(wanted.items())]
    parts += [name.encode() + text.encode() for name, text in texts.items()] + [repr((FOLDERS, _MODE)).encode()]
    return cached("rootfs", content_hash(parts), lambda folder: _make(folder / "root", wanted, texts)) / "root"


def fio_fact() -> dict[str, str]:
    """The fact about fio in every environment with this root file system: which version, or why there is none."""
    fio = host_fio()
    if fio.why_not:
        return {"without.fio": f"I/O is not measured: {fio.why_not}"}
    return {"version.fio": fio.version, "fio": fio.origin}


def link_rootfs(target: Path) -> None:
    """A separate root file system at `target` that shares its files' blocks and page cache with the cached one.

    Hard links if the file system supports them, otherwise copies. Folders are new, so files created in them are
    private.
    """
    source = rootfs_path()
    target.mkdir(mode=_MODE)
    for folder, folders, files in os.walk(source):
        here = target / Path(folder).relative_to(source)
        for name in folders:
            original = Path(folder, name)
            if original.is_symlink():
                (here / name).symlink_to(original.readlink())
            else:
                (here / name).mkdir(mode=_MODE)
        for name in files:
            _link(Path(folder, name), here / name)


def rootfs_tar() -> Path:
    """The root file system as a tar archive in the cache, for engines that import one."""
    root = rootfs_path()
    key = root.parent.name.removeprefix("rootfs-")
    return cached("rootfs-tar", key, lambda folder: _pack(root, folder / "rootfs.tar")) / "rootfs.tar"


def _make(root: Path, wanted: Mapping[Path, Path], texts: Mapping[str, str]) -> None:
    for name in FOLDERS:
        (root / name).mkdir(mode=_MODE, parents=True)
    for inside, outside in wanted.items():
        (root / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(outside, root / inside)
        (root / inside).chmod(0o755)
    for name, text in texts.items():
        (root / name).parent.mkdir(mode=_MODE, parents=True, exist_ok=True)
        (root / name).write_text(text)
    for folder, folders, files in os.walk(root, topdown=False):
        for name in (*folders, *files):
            os.utime(Path(folder, name), (MTIME, MTIME))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _pack(root: Path, target: Path) -> None:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        return info

    with tarfile.open(target, mode="w") as archive:
        for path in sorted(root.rglob("*")):
            archive.add(path, arcname=str(path.relative_to(root)), recursive=False, filter=plain)
