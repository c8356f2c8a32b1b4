"""Files that are there whole or not at all, and locks, on every kind of file system."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BUFFER = 1 << 18
"""Bytes in one write, where the parts are many and small."""

_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EROFS, errno.EBADF}
"""What a file system says that has no such operation for this kind of file; not that it has failed."""


def place(target: Path, parts: Iterable[bytes | bytearray], *, mode: int = 0o644, lock: bool = False) -> int:
    """Put these bytes at `target`, synced, so that a reader or a crash sees the old file or the new one, never a part.

    Gives the descriptor, which is the caller's to close. With `lock` it is locked before anybody can see the file.
    Until it is complete the file has no name where the file system can do that, so that kill -9 leaves nothing.
    """
    descriptor, name, is_named = _begun(target, mode)
    try:
        if lock:
            try_lock(descriptor)
        with open(descriptor, "wb", buffering=_BUFFER, closefd=False) as file:
            file.writelines(parts)
        sync(descriptor)
        if not is_named:
            descriptor = _named(descriptor, name, mode, lock)
        name.replace(target)
    except BaseException:
        name.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    with suppress(OSError):  # the file is whole and in its place; what cannot be synced is the folder's
        _sync_folder(target.parent)
    return descriptor


def try_lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed or its process has died; whether that could be had.

    Raises `OSError` where the file system has no locks. The file has to be open for writing: NFS wants that.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):  # fcntl(2) may say either where flock(2) is made of its locks
        return False
    return True


def sync(descriptor: int) -> None:
    """Have a file or folder on the disk, where its file system can be asked for that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def read_regular(file: Path, most: int, *, follow: bool = True) -> bytes:
    """What a regular file holds, `most` bytes of it at most. Raises `OSError` for one that is larger, and for a FIFO, a
    device or a socket, on which reading would wait or never end; without `follow` for a link, too."""
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(file, how if follow else how | os.O_NOFOLLOW)
    with open(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"{status.st_size} bytes; the limit is {most}")
        return opened.read(status.st_size) or b""


def tail(path: Path, size: int) -> str:
    """The last `size` bytes of a file as text; nothing where it cannot be read.

    Not through a link, and of a regular file only: QEMU's user may lay anything into the folder of a guest.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode):
                file.seek(max(0, found.st_size - size))
                return file.read(size).decode(errors="replace")
    return ""


def _begun(target: Path, mode: int) -> tuple[int, Path, bool]:
    """A file beside the target that has no name yet, and the name it may get; or one that has it already."""
    name = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    with suppress(OSError):  # a file system without nameless files, or /proc is not there to name one later
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_RDWR, mode)
        if Path("/proc/self/fd").is_dir():
            return descriptor, name, False
        os.close(descriptor)
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode), name, True


def _named(nameless: int, name: Path, mode: int, lock: bool) -> int:
    """The file under its name; a copy of it where the file system has nameless files but cannot name them."""
    with suppress(OSError):
        os.link(f"/proc/self/fd/{nameless}", name, src_dir_fd=nameless)  # only so does it follow the link
        return nameless
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
    try:
        if lock:
            try_lock(descriptor)
        os.lseek(nameless, 0, os.SEEK_SET)
        with open(nameless, "rb", closefd=False) as source, open(descriptor, "wb", closefd=False) as copy:
            shutil.copyfileobj(source, copy)
        sync(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(nameless)
    return descriptor


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
