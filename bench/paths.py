"""Where isobench keeps things on the host: what may be rebuilt, what marks a live run, what a run works in.

As root: /var/cache/isobench, /run/isobench and /var/lib/isobench/work, where nobody else can write. Otherwise the XDG
folders of the user, and /var/tmp, because a QEMU of another user has to reach what is in there.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.ownership import NotOurs, folder, own_folder, settled

if TYPE_CHECKING:
    from collections.abc import Iterable

RUN_PREFIX = "isobench-"
"""Begins the name of everything a run makes: work directories, containers, images, domains, cgroups."""


def variable(name: str) -> str:
    """A variable of the environment; an empty one is one that is not set."""
    return os.environ.get(name, "")


def cache_dir() -> Path:
    """What is built or fetched once and may be deleted at any time: probe, root file system, guest kernel."""
    return _own("ISOBENCH_CACHE", _base("ISOBENCH_CACHE", "/var/cache/isobench", "XDG_CACHE_HOME", ".cache"))


def state_dir() -> Path:
    """What marks live runs and private daemons: the lock, one state file a run, sockets."""
    return _own("ISOBENCH_STATE", _base("ISOBENCH_STATE", "/run/isobench", "XDG_RUNTIME_DIR", ".local/state"))


def work_root() -> Path:
    """The folder on a real disk under which each run makes its own `isobench-<run id>/`.

    It may be shared with others as /var/tmp is (sticky): see `work_folder`.
    """
    given = variable("ISOBENCH_WORK")
    if not given and os.geteuid() == 0:
        return _own("ISOBENCH_WORK", Path("/var/lib/isobench/work"))
    try:
        return settled(Path(given or "/var/tmp"))
    except (OSError, NotOurs) as error:
        raise _refusal("ISOBENCH_WORK", Path(given), error) from error


def work_folder(run: str) -> Path | None:
    """The work folder of a run of ours; None where there is none, or what has its name is somebody else's."""
    place = work_root() / run
    with suppress(OSError, NotOurs), folder(place):
        return place
    return None


def opened(run: str, family: str) -> bool:
    """Whether a run came as far as to open an environment whose name begins so: each has a folder of its own."""
    place = work_folder(run)
    return place is not None and any(place.glob(f"{family}*"))


def content_hash(parts: Iterable[bytes]) -> str:
    """Sixteen hexadecimal digits that change when any of the parts does."""
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


def _own(name: str, path: Path) -> Path:
    """Mode 0711 where it is made: a QEMU of another user has to reach a disk inside it."""
    try:
        return own_folder(path, 0o711)
    except (OSError, NotOurs) as error:
        raise _refusal(name, path, error) from error


def _refusal(name: str, path: Path, error: OSError | NotOurs) -> UsageError:
    reason = error.reason if isinstance(error, NotOurs) else f"{error.strerror}"
    return UsageError(f"cannot use {path}: {reason}", remedy=f"set {name} to a folder of your own")
