"""Where isobench keeps its files on the host: cache, state and work folders.

As root: /var/cache/isobench, /run/isobench and /var/lib/isobench/work, where nobody else can write. Otherwise the
user's XDG folders, and /var/tmp, because a QEMU that runs as another user has to reach its files there.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import Unavailable, UsageError
from isobench.filesystem.ownership import NotOurs, folder, own_folder, settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

RUN_PREFIX = "isobench-"
"""Prefix of the name of everything that a run creates: work folders, containers, images, domains, cgroups."""
RUN_VARIABLE = "ISOBENCH_OF"
"""The environment variable with a run's name, in what it starts and what nothing else would show to be the run's."""


def variable(name: str) -> str:
    """An environment variable; an empty one counts as unset."""
    return os.environ.get(name, "")


def cache_dir() -> Path:
    """Files that are built or downloaded once and may be deleted at any time: probe, root file system, guest kernel.

    It may be a shared folder like /var/tmp: isobench uses a folder of its own in it (bench/filesystem/cache.py).
    """
    path = _base("ISOBENCH_CACHE", "/var/cache/isobench", "XDG_CACHE_HOME", ".cache")
    return _made("ISOBENCH_CACHE", path, shared=True)


def state_dir() -> Path:
    """The state of live runs and private daemons: the lock, one state file per run, sockets."""
    return _made("ISOBENCH_STATE", _base("ISOBENCH_STATE", "/run/isobench", "XDG_RUNTIME_DIR", ".local/state"))


def work_root() -> Path:
    """The folder on a real disk in which each run creates its own `isobench-<run id>/`.

    It may be shared and sticky, like /var/tmp: see `work_folder`.
    """
    usual = "/var/lib/isobench/work" if os.geteuid() == 0 else "/var/tmp"
    return _made("ISOBENCH_WORK", Path(variable("ISOBENCH_WORK") or usual), shared=True)


def work_folder(run: str) -> Path | None:
    """The work folder of a run; None if there is none, or if it belongs to another user."""
    place = work_root() / run
    with suppress(OSError, NotOurs), folder(place):
        return place
    return None


def opened(run: str, family: str, *, but: Collection[str] = ()) -> bool:
    """Whether a run has opened an environment with this prefix that is none of `but`: each opened one has a folder."""
    place = work_folder(run)
    return place is not None and any(folder.name not in but for folder in place.glob(f"{family}*"))


def short(path: Path) -> Path:
    """A path into a run's work folder that is short enough for a unix socket (107 bytes, unix(7)).

    A longer path is replaced by one through a link in the state folder, which is removed with the run (`short_link`).
    """
    if len(os.fsencode(path)) <= _SOCKET_PATH:
        return path
    run, *rest = path.relative_to(work_root()).parts
    link = short_link(run)
    with suppress(FileExistsError):
        link.symlink_to(work_root() / run)
    path = link.joinpath(*rest)
    if len(os.fsencode(path)) > _SOCKET_PATH:
        raise Unavailable(f"{path} is too long for a socket", remedy="set ISOBENCH_STATE to a shorter path")
    return path


def short_link(run: str) -> Path:
    """The place of the link to a run's work folder, if it has one."""
    return state_dir() / f"work-{run[-6:]}"


_SOCKET_PATH = 107


def check_may_run(place: Path, name: str) -> None:
    """Raise `Unavailable` if this folder's file system is mounted noexec."""
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        raise Unavailable(f"programs cannot be run from {place}: it is mounted noexec", remedy=f"set {name}")


def check_name(place: Path, program: str, refused: str, name: str) -> None:
    """Raise `Unavailable` if this program cannot use this path: it contains a character that matches `refused`."""
    found = re.search(refused, str(place))
    if found:
        letter = f"the byte {ord(found[0]) - 0xDC00:#x}" if found[0] >= "\udc00" else repr(found[0])
        reason = f"{program} cannot use {place}: its name contains {letter}"
        raise Unavailable(reason, remedy=f"set {name} to a folder with a simpler name")


def content_hash(parts: Iterable[bytes]) -> str:
    """Sixteen hexadecimal digits that depend on every part."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def _base(name: str, for_root: str, xdg: str, under_home: str) -> Path:
    if variable(name):
        return Path(variable(name))
    if os.geteuid() == 0:
        return Path(for_root)
    if variable(xdg).startswith("/"):  # the specification has relative ones ignored
        return Path(variable(xdg), "isobench")
    with suppress(KeyError):
        return Path(variable("HOME") or pwd.getpwuid(os.geteuid()).pw_dir, under_home, "isobench")
    raise UsageError(f"user {os.geteuid()} has no home folder", remedy=f"set HOME or {name}")


def _made(name: str, path: Path, *, shared: bool = False) -> Path:
    """The folder, created if needed with mode 0711: a QEMU that runs as another user has to reach a disk inside it."""
    try:
        place = settled(path)
        if not (shared and place.is_dir()):
            own_folder(place, 0o711)
    except (OSError, NotOurs) as error:
        reason = error.reason if isinstance(error, NotOurs) else f"{error.strerror}"
        raise UsageError(f"cannot use {path}: {reason}", remedy=f"set {name} to a folder of your own") from error
    return place
