"""Only one run measures at a time on a host: the locks, and which runs they block.

A lock that any user can take, any user could hold for ever. So no user can block another, except root. There are two
locks. One is a file in the state folder that only its owner can open; it separates this user's runs. The other is
root's: a socket that only root can create and everybody can query; it is a path, so that it works across network
namespaces. If another user measures at the same time, a warning says so, since both are disturbed.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import UsageError
from isobench.core.remedies import mends
from isobench.filesystem.files import try_lock
from isobench.filesystem.ownership import folder
from isobench.filesystem.paths import state_dir, variable

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOTS = Path("/run/isobench/measuring")
"""Root's socket, which all users can query."""
_LOCK = "isobench.lock"
"""This user's lock, with the pid of the run; in a given folder a plain `lock` may be another program's."""
_NOTICE = "isobench-measuring-"
"""Prefix of the abstract socket that announces this run to runs of other users; it blocks nobody."""

_MOST = 100
"""Maximum number of announcements that are read: anybody can create any number."""


class Holder(NamedTuple):
    """The process that listens on a socket, according to the kernel."""

    pid: int
    user: int


@contextmanager
def measuring(wait: bool) -> Iterator[None]:
    """Become the one run that measures. Raises `UsageError` naming the current one, or waits for it.

    A run with ISOBENCH_STATE set is independent on purpose, and uses only the lock of that folder.
    """
    with ExitStack() as held:
        held.enter_context(_own_lock(wait))
        if not variable("ISOBENCH_STATE"):
            held.enter_context(_roots_lock(wait))
            for other in _others():
                print(f"isobench: user {other.user} is also measuring (pid {other.pid})", file=sys.stderr)
            held.enter_context(_listening(f"\0{_NOTICE}{secrets.token_hex(8)}"))
        yield


def measures_now() -> list[int]:
    """The pids of the runs that are measuring on this host, as far as they are visible. Unlike trying their locks, this
    disturbs none of them. 0 stands for a run whose pid is unknown."""
    found = [holder.pid for holder in (_holder(f"\0{name[1:]}") for name in _notices()) if holder is not None]
    roots = _holder(str(ROOTS))
    found += [roots.pid] if roots is not None else []
    with suppress(OSError):
        lock = (state_dir() / _LOCK).stat()
        for line in Path("/proc/locks").read_text().splitlines():  # proc(5): 1: FLOCK ADVISORY WRITE PID MM:mm:INODE …
            _, kind, _, _, pid, file, *_ = line.split()
            if kind == "FLOCK" and file == f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}":
                found.append(max(int(pid), 0))
    return sorted(set(found) - {os.getpid()})


@contextmanager
def _own_lock(wait: bool) -> Iterator[None]:
    """The kernel drops the lock with its process, so it is never stale."""
    try:
        with folder(state_dir()) as place:
            descriptor = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=place)
    except OSError as error:
        reason = f"cannot make the lock in {state_dir()}: {error.strerror}"
        raise UsageError(reason, remedy=mends(error, "ISOBENCH_STATE")) from error
    with open(descriptor, "r+") as file:
        os.fchmod(descriptor, 0o600)  # whoever can open it can lock it
        try:
            if not try_lock(descriptor, wait=wait):
                raise _refusal(file.read(20).strip())
        except OSError as error:
            raise UsageError(
                f"cannot lock files in {state_dir()}: {error.strerror}", remedy="set ISOBENCH_STATE"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _roots_lock(wait: bool) -> Iterator[None]:
    """Root's socket. It is taken while `_own_lock` is held, so an existing socket is a dead run's."""
    if os.geteuid() == 0:
        ROOTS.unlink(missing_ok=True)
        with _listening(str(ROOTS)):
            ROOTS.chmod(0o666)  # to connect is to write
            try:
                yield
            finally:
                ROOTS.unlink(missing_ok=True)
        return
    while (holder := _holder(str(ROOTS))) is not None and holder.user == ROOTS.parent.stat().st_uid:
        if not wait:
            raise _refusal(str(holder.pid or ""))
        time.sleep(0.5)
    yield


@contextmanager
def _listening(address: str) -> Iterator[None]:
    """Announce this run to others; connections are never answered."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
        yield


def _others() -> list[Holder]:
    """Runs of other users, each once. Anybody can announce a run, so these are only reported."""
    found: dict[int, Holder] = {}
    for name in _notices():
        if (holder := _holder("\0" + name[1:])) is not None:
            found.setdefault(holder.user, holder)
    return [holder for user, holder in sorted(found.items()) if user != os.geteuid()]


def _notices() -> list[str]:
    """The abstract sockets by which runs announce themselves, each with its @."""
    with suppress(OSError):
        lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
        names = {name for line in lines if (name := line.rpartition(" ")[2]).startswith(f"@{_NOTICE}")}
        return sorted(names)[:_MOST]
    return []


def _holder(address: str) -> Holder | None:
    """The process that listens there, if a connection is possible. Never waits."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        try:
            connection.connect(address)
        except OSError as error:
            return Holder(0, 0) if error.errno == errno.EAGAIN else None  # its queue of connections is full
        size = struct.calcsize("3i")
        pid, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return Holder(pid, user)


def _refusal(holder: str) -> UsageError:
    reason = f"another run is measuring on this host (pid {holder or 'unknown'})"
    return UsageError(reason, remedy="wait for it, or run with --wait")
