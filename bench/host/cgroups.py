"""Fresh cgroups for rungs made by hand, on cgroup v1, hybrid and v2, all named after the run."""

from __future__ import annotations

import errno
import fnmatch
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import Unavailable
from isobench.core.remedies import as_root

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path("/sys/fs/cgroup")

LIMITS = (
    "memory.max=536870912",
    "memory.limit_in_bytes=536870912",
    "pids.max=1024",
    "cpu.weight=100",
    "cpu.shares=1024",
)
"""Limits set on every fresh cgroup: 512 MiB, 1024 processes, the default share of CPU, in the words of v2 and v1.
A file that a controller does not have is passed over by the launcher."""

_V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio", "devices", "freezer")
"""What Docker makes a cgroup in on v1 and can be joined without further set-up (cpuset wants its CPUs first)."""


def make_parents(run: str, name: str) -> tuple[str, ...]:
    """Make the folder(s) `<run>/<name>` under which each instance gets its own; one on v2, one a controller on v1.

    Raises `Unavailable`.
    """
    places = _places(run)
    if not places:
        raise Unavailable("no cgroup controller is mounted under /sys/fs/cgroup", remedy="mount cgroup v2 there")
    parents = [place / name for place in places]
    try:
        for parent in parents:
            parent.mkdir(parents=True, exist_ok=True)
        if is_unified(parents):
            wanted = [c for c in ("memory", "pids", "cpu", "io") if c in _read(ROOT / "cgroup.controllers").split()]
            for folder in (ROOT, *places, *parents):
                (folder / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in wanted))
    except OSError as error:
        remove_parents(parents)
        raise Unavailable(f"cannot make a cgroup: {error.strerror}", remedy=_remedy(error)) from error
    return tuple(map(str, parents))


def _remedy(error: OSError) -> str:
    """What mends that none can be made; nothing where the words of the kernel are known to `isobench.host.reasons`."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return as_root("give this container its cgroups: --privileged, or a delegated cgroup")
    if error.errno in (errno.EBUSY, errno.EOPNOTSUPP):
        return f"move the processes out of {ROOT}: version 2 enables controllers only below empty cgroups"
    return ""


def remove_parents(parents: Iterable[str | Path]) -> None:
    """Remove these folders, and the run's above them once no other rung has one there."""
    for parent in map(Path, parents):
        for folder in (parent, parent.parent):
            with suppress(OSError):
                folder.rmdir()


def is_unified(parents: tuple[str, ...] | list[Path]) -> bool:
    """True where these are cgroups of a v2 tree with controllers."""
    return len(parents) == 1 and (ROOT / "cgroup.controllers").exists()


def remove(name: str) -> list[str]:
    """Kill what still runs in the cgroups of this name, wherever in the trees, and remove them; says what was removed.

    The name carries the run's, and may be a pattern (`fnmatch`) round it where a tool names cgroups in its own way.
    Tools make them below the cgroup that they were started in, or below their own: a user's session, a parent of all.
    """
    removed = []
    for place in _named(name):
        for folder in (*sorted((p for p in place.rglob("*") if p.is_dir()), reverse=True), place):
            _empty(folder)
            _remove_when_free(folder)
        removed.append(f"cgroup {place}")
    return removed


def _named(name: str) -> list[Path]:
    """This user's cgroups of a name, of each hierarchy; what is below one of them goes with it.

    A stranger who was given a part of the tree may call his own as he likes.
    """
    found = []
    for root, folders, _ in os.walk(ROOT):
        hits = fnmatch.filter(folders, name)
        folders[:] = [folder for folder in folders if folder not in hits]
        found += [place for hit in hits if _is_mine(place := Path(root, hit))]
    return found


def _is_mine(folder: Path) -> bool:
    with suppress(OSError):
        return folder.stat().st_uid == os.geteuid()
    return False


def make_own(name: str) -> tuple[Path, ...]:
    """A cgroup of this name where systemd's tools make theirs, below the one that they are started in.

    One on version 2; on the older layouts in the hierarchies without a controller, as far as they are there.
    """
    roots = [ROOT] if (ROOT / "cgroup.controllers").exists() else [ROOT / "systemd", ROOT / "unified"]
    made = tuple(root / name for root in roots if (root / "cgroup.procs").exists())
    for folder in made:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot make a cgroup: {error.strerror}", remedy=_remedy(error)) from error
    return made


def _remove_when_free(folder: Path) -> None:
    """Remove a cgroup; the kernel may call it busy for a moment after its last process has ended."""
    for attempt in range(100, -1, -1):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if attempt == 0:
                raise
            time.sleep(0.01)
        else:
            return


def _places(run: str) -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT / run]
    return [ROOT / controller / run for controller in _V1_CONTROLLERS if (ROOT / controller / "cgroup.procs").exists()]


def _empty(folder: Path) -> None:
    """Kill every process in a cgroup and wait, a second at most, until it has none."""
    for _ in range(100):
        pids = _read(folder / "cgroup.procs").split()
        if not pids:
            return
        for pid in pids:
            with suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.01)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
