"""Files that are there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BUFFER = 1 << 18
"""Bytes in one write, where the parts are many and small."""


def place(target: Path, parts: Iterable[bytes | bytearray], *, mode: int = 0o644, lock: bool = False) -> int:
    """Put these bytes at `target`, synced, so that a reader or a crash sees the old file or the new one, never a part.

    Gives the descriptor, which is the caller's to close. With `lock` it is locked before anybody can see the file.
    Until it is complete the file has no name where the file system can do that, so that kill -9 leaves nothing.
    """
    descriptor, name = _nameless(target, mode)
    try:
        if lock:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with open(descriptor, "wb", buffering=_BUFFER, closefd=False) as file:
            file.writelines(parts)
        os.fsync(descriptor)
        if not name.exists():
            os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor)  # only so does it follow the link
        name.replace(target)
    except BaseException:
        name.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    _sync_folder(target.parent)
    return descriptor


def _nameless(target: Path, mode: int) -> tuple[int, Path]:
    """A file beside the target that has no name yet (or one that cannot be guessed), and the name it may get."""
    name = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    with suppress(OSError):  # a file system without nameless files, or /proc is not there to name one later
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_WRONLY, mode)
        if Path("/proc/self/fd").is_dir():
            return descriptor, name
        os.close(descriptor)
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
