"""Atomic writes and locks, on every kind of file system."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BUFFER = 1 << 18
"""Bytes in one write, where the parts are many and small."""

_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EROFS, errno.EBADF}
"""Errors that mean "operation not supported for this kind of file", not "operation failed"."""


def atomic_write(target: Path, parts: Iterable[bytes | bytearray], *, mode: int = 0o644, lock: bool = False) -> int:
    """Write these bytes to `target`, synced: a reader or a crash sees the old file or the new one, never a part.

    Returns the descriptor, which the caller closes. With `lock` it is locked before anybody can see the file. If the
    file system supports it, the file has no name until it is complete, so that kill -9 leaves nothing behind.
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
    with suppress(OSError):  # the file itself is complete and synced; only the folder may not be
        _sync_folder(target.parent)
    return descriptor


def try_lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed or its process dies; returns whether the lock was acquired.

    Raises `OSError` if the file system has no locks. The file must be open for writing, as NFS requires.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):  # fcntl(2) may give either if flock(2) is implemented by its locks
        return False
    return True


def sync(descriptor: int) -> None:
    """Flush a file or folder to the disk, if its file system supports that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def read_regular(file: Path | str, most: int, *, follow: bool = True) -> bytes:
    """The content of a regular file. Raises `OSError` if it is larger than `most` bytes, and for a FIFO, a device or a
    socket, on which reading could block or never end; without `follow` also for a link."""
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
    """The last `size` bytes of a file as text; empty if it cannot be read.

    Regular files only, and no links: QEMU's user may put anything into the folder of a guest.
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
    """A file next to the target: without a name yet, and the name that it may get; or with that name already."""
    import secrets  # a tenth of what `isobench list` may take

    name = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    with suppress(OSError):  # the file system has no unnamed files, or there is no /proc to name one later
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_RDWR, mode)
        if os.path.isdir("/proc/self/fd"):  # noqa: PTH112 (pathlib would have to be imported)
            return descriptor, name, False
        os.close(descriptor)
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode), name, True


def _named(nameless: int, name: Path, mode: int, lock: bool) -> int:
    """The file under its name; a copy of it if the file system cannot name an unnamed file."""
    import shutil

    with suppress(OSError):
        os.link(f"/proc/self/fd/{nameless}", name, src_dir_fd=nameless)  # needed to follow the link
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
