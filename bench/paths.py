"""Where isobench keeps things on the host: what may be rebuilt, what marks a live run, what a run works in.

As root: /var/cache/isobench, /run/isobench and /var/tmp. Otherwise the XDG folders of the user. Every folder is made
with mode 0700, or 0711 where a QEMU of another user has to reach a disk inside it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BuildError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RUN_PREFIX = "isobench-"
"""Begins the name of everything a run makes: work directories, containers, images, domains, cgroups."""


def cache_dir() -> Path:
    """What is built or fetched once and may be deleted at any time: probe, root file system, guest kernel."""
    return _private(_base("ISOBENCH_CACHE", "/var/cache/isobench", "XDG_CACHE_HOME", ".cache"), 0o711)


def state_dir() -> Path:
    """What marks live runs and private daemons: the lock, one state file a run, sockets."""
    return _private(_base("ISOBENCH_STATE", "/run/isobench", "XDG_RUNTIME_DIR", ".local/state"), 0o711)


def work_root() -> Path:
    """The folder on a real disk under which each run makes its own `isobench-<run id>/`."""
    return Path(os.environ.get("ISOBENCH_WORK", "/var/tmp"))


def content_hash(parts: Iterable[bytes]) -> str:
    """Sixteen hexadecimal digits that change when any of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def opened(run: str, family: str) -> bool:
    """Whether a run came as far as to open an environment whose name begins so: each has a folder of its own."""
    return any((work_root() / run).glob(f"{family}*"))


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder `<cache>/<kind>-<key>`, made by `build(folder)` unless it is there already. Never seen half made.

    Raises `BuildError` where the disk is full or cannot be written.
    """
    target = cache_dir() / f"{kind}-{key}"
    if target.exists():
        return target
    making, lock = None, -1
    try:
        making, lock = _making_folder(kind)
        making.chmod(0o755)
        build(making)
        try:
            making.rename(target)
        except OSError:
            if not target.exists():  # another process was quicker, or something is wrong
                raise
    except OSError as error:
        remedy = "make room there, or set ISOBENCH_CACHE"
        raise BuildError(f"making the {kind} in {target.parent}: {error.strerror or error}", remedy=remedy) from error
    finally:
        if making is not None:
            shutil.rmtree(making, ignore_errors=True)
            os.close(lock)
    return target


def half_made() -> Iterator[Path]:
    """What a process that has died was making in the cache. Each is held while the caller has it."""
    for folder in cache_dir().glob(".*-*"):
        lock = _held(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock >= 0:
            yield folder
            os.close(lock)


def _making_folder(kind: str) -> tuple[Path, int]:
    """A new folder in the cache, and the lock on it that tells that its maker lives."""
    while True:
        making = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=cache_dir()))
        lock = _held(making, fcntl.LOCK_EX)
        if lock >= 0 and making.exists():  # else `clean` took it for a dead one's in the moment before the lock
            return making, lock
        if lock >= 0:
            os.close(lock)


def _held(folder: Path, how: int) -> int:
    """A descriptor that locks a folder, or -1 where that cannot be."""
    descriptor = -1
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, how)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        return -1
    return descriptor


def _base(variable: str, for_root: str, xdg: str, under_home: str) -> Path:
    if variable in os.environ:
        return Path(os.environ[variable])
    if os.geteuid() == 0:
        return Path(for_root)
    if xdg in os.environ:
        return Path(os.environ[xdg]) / "isobench"
    return Path(os.path.expanduser("~")) / under_home / "isobench"  # noqa: PTH111 (works without HOME)


def _private(path: Path, mode: int) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)
    except OSError as error:
        raise UsageError(
            f"cannot use {path}: {error.strerror}", remedy="set ISOBENCH_CACHE, ISOBENCH_STATE, ISOBENCH_WORK"
        ) from error
    return path
