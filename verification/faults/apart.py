"""A separate host for the faults: everything in it was created by a program that was started in it.

Namespaces (mount, pid, network, IPC, cgroup), a cgroup tree that begins at a cgroup of its own, and an empty /run and
/dev/shm. Loop devices have no namespace; leaks.py identifies them by their folder.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path("/sys/fs/cgroup")
HARNESS = "harness"
"""The cgroup in that tree in which everything starts: with a process in the root, version 2 could not set limits."""

_ENDING = 10.0
"""Seconds that processes may take to end after their first one."""
_NAMESPACES = "exec unshare --cgroup --mount --net --propagation private"
_PLACES = (
    *("mount -t tmpfs -o mode=755 run /run", "mkdir /run/lock"),
    *("mount -t tmpfs -o mode=1777 shm /dev/shm", "mount -t sysfs sysfs /sys", "ip link set lo up"),
)
_PIDS = "exec unshare --pid --ipc --fork --kill-child --mount-proc"


def words_apart(name: str, words: Sequence[str]) -> list[str]:
    """A command that runs `words` on a separate host, in cgroups called `name`, which `remove` removes again."""
    enter, inner = [], list(_PLACES)
    trees = list(_trees())
    if ROOT not in [tree for tree, _ in trees]:
        inner.append(f"mount -t tmpfs -o mode=755 cgroup {ROOT}")
    for tree, kind in trees:
        enter += [f"mkdir {tree}/{name}", *_inherited(f"{tree}/{name}"), f"echo $$ > {tree}/{name}/cgroup.procs"]
        inner += [f"mkdir -p {tree}", f"mount -t {kind} cgroup {tree}", f"mkdir {tree}/{HARNESS}"]
        inner += [*_inherited(f"{tree}/{HARNESS}"), f"echo $$ > {tree}/{HARNESS}/cgroup.procs"]
    inside = "\n".join([*inner, f'{_PIDS} "$@"'])
    return ["sh", "-ec", "\n".join([*enter, f'{_NAMESPACES} sh -ec "$0" sh "$@"']), inside, *words]


def remove(name: str) -> None:
    """Remove the cgroups of a separate host. Their processes end shortly after its first process."""
    deadline = time.monotonic() + _ENDING
    while left := [tree / name for tree, _ in _trees() if (tree / name).is_dir()]:
        for place in left:
            for folder in (*sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True), place):
                with suppress(OSError):
                    folder.rmdir()
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)


def _trees() -> Iterator[tuple[Path, str]]:
    """Where each cgroup hierarchy of this host is mounted, and the arguments of mount(8) for it."""
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point, (kind, _, options) = Path(before.split(" ")[4]), after.split(" ")
        if kind in ("cgroup", "cgroup2") and (point == ROOT or point.parent == ROOT):
            named = [word for word in options.split(",") if word not in ("rw", "xattr") and "=" not in word]
            named += [f"none,{word}" for word in options.split(",") if word.startswith("name=")]
            yield point, f"cgroup -o {','.join(named)}" if kind == "cgroup" else "cgroup2"


def _inherited(folder: str) -> list[str]:
    """Version 1 needs these settings before a process may enter: the CPUs and memory nodes of the cgroup above."""
    if Path(folder).parts[4:5] != ("cpuset",):
        return []
    return [f"cat {folder}/../cpuset.{one} > {folder}/cpuset.{one}" for one in ("cpus", "mems")]
