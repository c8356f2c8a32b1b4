"""The cache of built files: created atomically, verified before use, and rebuilt if damaged.

They lie in the subfolder `built`, which isobench creates and marks; nothing else in the cache is changed or removed.
Each entry is a folder with a digest of its content, made under a temporary name, synced, and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import BuildError, UsageError
from isobench.core.remedies import mends
from isobench.filesystem.files import atomic_write, sync, try_lock
from isobench.filesystem.ownership import NotOurs, folder, open_file, own_folder, read_file, trouble
from isobench.filesystem.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MARK = "CACHEDIR.TAG"
_MARK_TEXT = b"""Signature: 8a477f597d28d172789f06886806bc55
# isobench builds what is in this folder, and may remove it. See https://bford.info/cachedir/
"""
_DIGEST, _LOCK = ".digest", ".lock"
_MAKING = ".making-"
_STALE = 86400.0
"""Seconds after which an unfinished entry counts as abandoned, on a file system without locks."""
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder `<cache>/built/<kind>-<key>`, made atomically by `build(folder)` unless it exists undamaged.

    Raises `BuildError` if the disk is full or cannot be written, `UsageError` if the cache was not made by isobench.
    """
    target = _built() / f"{kind}-{key}"
    damage = damage_of(target) if os.path.lexists(target) else None
    if damage == "":
        with suppress(OSError):  # if it is another user's
            os.utime(target)  # the time of its last use, for `trim`
        return target
    if damage:
        print(f"isobench: {target} was damaged ({damage}) and is being rebuilt", file=sys.stderr)
    making, held = None, -1
    try:
        making, held = _begin(target.parent)
        (making / "it").mkdir()
        (making / "it").chmod(0o755)
        build(making / "it")
        os.close(atomic_write(making / "it" / _DIGEST, [_digest(making / "it", synced=True).encode()]))
        if damage:
            target.rename(making / "damaged")
        try:
            (making / "it").rename(target)
        except OSError:
            if not target.exists():  # if it exists, another process was faster
                raise
    except OSError as error:
        reason = f"making the {kind} in {target.parent.parent}: {error.strerror or error}"
        raise BuildError(reason, remedy=mends(error, "ISOBENCH_CACHE")) from error
    finally:
        if making is not None:
            shutil.rmtree(making, ignore_errors=True)
        if held >= 0:
            os.close(held)
    return target


def drop_others(kind: str, key: str) -> None:
    """Remove entries of this kind with other keys, if one is so large that only one should be kept."""
    for old in _built().glob(f"{kind}-*"):
        if re.fullmatch(rf"{re.escape(kind)}-[0-9a-f]{{16}}", old.name) and old.name != f"{kind}-{key}":
            shutil.rmtree(old)


def trim(limit: int, *, dry_run: bool = False) -> list[str]:
    """Remove the entries that were used least recently until the others take at most `limit` bytes; returns a line for
    each. A guest's kernel stays, because `provision` downloaded it.

    Raises `UsageError` if the cache was not made by isobench.
    """
    entries = [(e.stat().st_mtime, _allocated(e), e) for e in _built().glob("*-*") if e.is_dir() and e.name[0] != "."]
    total, done = sum(size for _, size, _ in entries), []
    for _, size, entry in sorted(entries):
        if total <= limit:
            break
        if entry.name.startswith("kernel-"):
            continue
        if not dry_run:
            shutil.rmtree(entry)
        total -= size
        done.append(f"{'would remove' if dry_run else 'removed'} {entry} ({size / 2**20:.0f} MiB)")
    return done


def _allocated(entry: Path) -> int:
    """The bytes that an entry takes on the disk."""
    return sum(file.lstat().st_blocks * 512 for file in entry.rglob("*"))


def found(thing: str, inside: str) -> list[Path]:
    """What matches these patterns in the cache: undamaged entries of isobench, and folders that a user put there."""
    made = [one for one in (cache_dir() / "built").glob(thing) if not damage_of(one)]
    put = [one for one in cache_dir().glob(thing) if not trouble(one.lstat()) and one.is_dir()]
    return [file for one in (*made, *put) for file in one.glob(inside)]


def damage_of(target: Path) -> str:
    """What is wrong with an entry; empty if it is intact and belongs to this user or root."""
    try:
        with folder(target) as descriptor:
            wanted = read_file(_DIGEST, descriptor).decode(errors="replace")
        return "" if _digest(target) == wanted else "its content does not match its digest"
    except NotOurs as error:
        return error.reason
    except OSError as error:
        return f"{error.filename or 'it'}: {error.strerror}"


def half_made() -> Iterator[Path]:
    """Unfinished entries of dead processes. Each is locked while the caller handles it."""
    here = cache_dir() / "built"
    if not here.exists():
        return
    for making in _built().glob(f"{_MAKING}*"):
        held = -1
        with suppress(OSError, NotOurs):
            held = _held_if_dead(making)
        if held >= 0:
            yield making
            os.close(held)


def _built() -> Path:
    """The folder `built`, if it has isobench's mark. Raises `UsageError` for another folder of that name."""
    here = cache_dir() / "built"
    try:
        own_folder(here)
    except (OSError, NotOurs) as error:
        reason = error.reason if isinstance(error, NotOurs) else f"{here}: {error.strerror}"
        raise UsageError(
            f"cannot use the cache: {reason}", remedy="set ISOBENCH_CACHE to a folder of your own"
        ) from error
    with folder(here) as descriptor:
        try:
            if read_file(_MARK, descriptor) == _MARK_TEXT:
                return here
        except FileNotFoundError:
            if not os.listdir(descriptor):
                os.close(atomic_write(here / _MARK, [_MARK_TEXT]))
                return here
    raise UsageError(f"{here} was not created by isobench", remedy="set ISOBENCH_CACHE to another folder")


def _begin(here: Path) -> tuple[Path, int]:
    """A new folder to build in, and the lock that shows that its maker is alive (-1: no locks there)."""
    making = here / f"{_MAKING}{secrets.token_hex(8)}"
    making.mkdir(mode=0o700)
    descriptor = atomic_write(making / _LOCK, [], mode=0o600)
    with suppress(OSError):
        if try_lock(descriptor):
            return making, descriptor
    os.close(descriptor)
    return making, -1


def _held_if_dead(making: Path) -> int:
    """The lock on an entry whose maker has died; -1 if the maker is or may be alive."""
    with folder(making) as inside:
        old = time.time() - os.fstat(inside).st_mtime > _STALE
        try:
            descriptor = open_file(_LOCK, inside, write=True)
        except FileNotFoundError:  # its maker was killed, or has just begun
            return os.dup(inside) if old else -1
    try:
        if try_lock(descriptor):
            return descriptor
    except OSError:
        if old:
            return descriptor
    os.close(descriptor)
    return -1


def _digest(top: Path, *, synced: bool = False) -> str:
    """A digest of every name, mode and content below a folder.

    Raises `NotOurs` if another user could change something; nobody can below a folder that only its owner may enter.
    """
    digest = hashlib.sha256()
    closed = not top.stat().st_mode & 0o077
    for root, folders, files, descriptor in os.fwalk(top):
        folders.sort()
        for name in sorted((*folders, *files)):
            if name == _DIGEST and Path(root) == top:
                continue
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            inside = Path(root, name).relative_to(top)
            problem = "" if closed or stat.S_ISLNK(found.st_mode) else trouble(found)
            if problem:
                raise NotOurs(f"{inside} {problem}")
            digest.update(f"{inside}\0{found.st_mode:o}\0{found.st_rdev}\0".encode(errors="surrogateescape"))
            if stat.S_ISLNK(found.st_mode):
                digest.update(os.fsencode(os.readlink(name, dir_fd=descriptor)))
            elif stat.S_ISREG(found.st_mode):
                _add_file(digest, name, descriptor, synced=synced)
        if synced:
            sync(descriptor)
    return digest.hexdigest()


def _add_file(digest: hashlib._Hash, name: str, within: int, *, synced: bool) -> None:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
    try:
        _add_content(digest, file)
        if synced:
            sync(file)
    finally:
        os.close(file)


def _add_content(digest: hashlib._Hash, file: int) -> None:
    """Add a file's length and its non-zero data: a disk image is mostly holes."""
    size, at = os.fstat(file).st_size, 0
    digest.update(f"{size}\0".encode())
    while at < size:
        try:
            at = os.lseek(file, at, os.SEEK_DATA) // _CHUNK * _CHUNK
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more data; else no holes are known here
                return
        data = os.pread(file, _CHUNK, at)
        if not data:
            return
        if data != _ZEROS[: len(data)]:  # which ends at the first byte that is none
            digest.update(f"{at}\0".encode())
            digest.update(data)
        at += _CHUNK
