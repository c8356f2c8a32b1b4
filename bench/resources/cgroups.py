"""Fresh cgroups for rungs made by hand, on cgroup v1, hybrid and v2, all named after the run."""

from __future__ import annotations

import errno
import fnmatch
import os
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.core.remedies import as_root
from isobench.processes.accounting import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path("/sys/fs/cgroup")

LIMITS = (
    "memory.max=536870912",
    "memory.limit_in_bytes=536870912",
    "pids.max=1024",
    "cpu.weight=100",
    "cpu.shares=1024",
)
"""Limits set on every fresh cgroup: 512 MiB, 1024 processes, the default share of CPU, as v2 and v1 name them.
The launcher skips files that a controller does not have."""


def shares(weight: int) -> int:
    """A weight in percent of the default, converted to the shares of version 1 and of all engines."""
    return 1024 * weight // 100


def is_version_2() -> bool:
    """Whether version 2 has all controllers."""
    return (ROOT / "cgroup.controllers").exists()


def limits_swap() -> bool:
    """Whether swap can be limited: with version 1 the kernel may lack that (swapaccount=0)."""
    return any((ROOT / file).exists() for file in ("cgroup.controllers", "memory/memory.memsw.limit_in_bytes"))


PERIOD = 100_000
"""The period of a CPU quota in microseconds: the default of the kernel and of engines."""


class DiskRates(NamedTuple):
    """What may be written to and read from one disk per second; 0: no limit."""

    number: str
    """The disk's device number."""
    write_bytes: int = 0
    write_operations: int = 0
    read_bytes: int = 0
    read_operations: int = 0


_RATES = (("write", "bps"), ("write", "iops"), ("read", "bps"), ("read", "iops"))
"""How both versions name the rates of `DiskRates`, in their order."""


def asked(
    *,
    memory_bytes: int = 0,
    swap_bytes: int = 0,
    cpu_percent: int = 0,
    cpu_weight: int = 0,
    processes: int = 0,
    disk: DiskRates | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """The files of a cgroup and their values for these limits, in the order of writing: for version 1, and for version
    2. With a memory limit, only `swap_bytes` may be swapped out."""
    one: dict[str, str] = {}
    two: dict[str, str] = {}
    if memory_bytes:
        both = memory_bytes + swap_bytes
        one |= {"memory.limit_in_bytes": f"{memory_bytes}", "memory.memsw.limit_in_bytes": f"{both}"}
        two |= {"memory.max": f"{memory_bytes}", "memory.swap.max": f"{swap_bytes}"}
    if processes:
        one["pids.max"] = two["pids.max"] = f"{processes}"
    if cpu_percent:
        quota = PERIOD * cpu_percent // 100
        one |= {"cpu.cfs_period_us": f"{PERIOD}", "cpu.cfs_quota_us": f"{quota}"}
        two["cpu.max"] = f"{quota} {PERIOD}"
    if cpu_weight:
        one["cpu.shares"] = f"{shares(cpu_weight)}"
        two["cpu.weight"] = f"{cpu_weight}"
    if disk is not None:
        number, *rates = disk
        given = [(name, rate) for name, rate in zip(_RATES, rates, strict=True) if rate]
        one |= {f"blkio.throttle.{way}_{what}_device": f"{number} {rate}" for (way, what), rate in given}
        two["io.max"] = " ".join([number, *(f"{way[0]}{what}={rate}" for (way, what), rate in given)])
    return one, two


def limits(**given: Any) -> tuple[str, ...]:
    """`LIMITS`, replaced or extended by those that are `asked` for: `FILE=VALUE` as both versions name them, in the
    order of writing."""
    chosen = dict(limit.split("=", 1) for limit in LIMITS)
    for files in asked(**given):
        chosen |= files
    return tuple(f"{file}={value}" for file, value in chosen.items())


def asked_here(**given: Any) -> dict[str, str]:
    """The files of `asked` by this host's version, without those that its kernel does not have."""
    one, two = asked(**given)
    if is_version_2():
        return two
    if not limits_swap():
        one.pop("memory.memsw.limit_in_bytes", None)
    return one


_V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio", "devices", "freezer")
"""The v1 controllers that Docker uses and that can be joined without setup (cpuset needs its CPUs first)."""


def make_parents(run: str, name: str) -> tuple[str, ...]:
    """Create the folder(s) `<run>/<name>` for the instances' cgroups: one on v2, one per hierarchy on v1.

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
            for folder in (ROOT, *places, *parents):
                (folder / "cgroup.subtree_control").write_text(_wanted())
    except OSError as error:
        remove_parents(parents)
        raise Unavailable(f"cannot make a cgroup: {error.strerror}", remedy=_remedy(error)) from error
    return tuple(map(str, parents))


def _remedy(error: OSError) -> str:
    """The remedy if none can be created; empty if `isobench.host.reasons` knows the kernel's message."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return as_root("give this container its cgroups: --privileged, or a delegated cgroup")
    if error.errno in (errno.EBUSY, errno.EOPNOTSUPP):
        return f"move the processes out of {ROOT}: version 2 enables controllers only below empty cgroups"
    return ""


def remove_parents(parents: Iterable[str | Path]) -> None:
    """Remove these folders, and the run's folder above them once no other rung uses it."""
    for parent in map(Path, parents):
        for folder in (parent, parent.parent):
            with suppress(OSError):
                folder.rmdir()


def is_unified(parents: tuple[str, ...] | list[Path]) -> bool:
    """True where these are cgroups of a v2 tree with controllers."""
    return len(parents) == 1 and (ROOT / "cgroup.controllers").exists()


def remove(name: str) -> list[str]:
    """Kill all processes in the cgroups of this name, anywhere in the trees, and remove them; returns what was removed.

    The name contains the run's, and may be a pattern (`fnmatch`) around it if a tool chooses the names of its cgroups.
    Tools create them below the cgroup in which they were started, or below their own: a user's session, a common
    parent.
    """
    removed = []
    for place in _named(name):
        _remove_tree(place)
        removed.append(f"cgroup {place}")
    return removed


def _named(name: str) -> list[Path]:
    """This user's cgroups of a name, in each hierarchy; those below one of them are removed with it.

    Cgroups of other users are skipped: a user with a delegated subtree may choose any name in it.
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
    """A cgroup of this name, in which systemd's tools then create theirs.

    One on version 2; on older layouts one in each existing hierarchy without a controller.
    """
    roots = [ROOT] if (ROOT / "cgroup.controllers").exists() else [ROOT / "systemd", ROOT / "unified"]
    made = tuple(root / name for root in roots if (root / "cgroup.procs").exists())
    for folder in made:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot make a cgroup: {error.strerror}", remedy=_remedy(error)) from error
    return made


@contextmanager
def limited(name: str, child: str, files: Mapping[str, str]) -> Iterator[tuple[Path, ...]]:
    """A cgroup `NAME/CHILD` with these files written, in the hierarchy of each file's controller (on version 2 there is
    one); removed with everything in it. Raises `Unavailable`."""
    unified = is_version_2()
    places = {file: (ROOT if unified else ROOT / file.partition(".")[0]) / name / child for file in files}
    folders = tuple(dict.fromkeys(places.values()))
    try:
        try:
            for folder in folders:
                folder.mkdir(parents=True)
                for above in (ROOT, folder.parent) if unified else ():
                    (above / "cgroup.subtree_control").write_text(_wanted())
            for file, value in files.items():
                (places[file] / file).write_text(value)
        except OSError as error:
            raise Unavailable(f"cannot limit a cgroup: {error.strerror}", remedy=_remedy(error)) from error
        yield folders
    finally:
        for folder in filter(Path.is_dir, folders):
            _remove_tree(folder)


def _wanted() -> str:
    """The text that enables the limits' controllers below a cgroup of version 2, as far as this kernel has them."""
    there = text_of(ROOT / "cgroup.controllers").split()
    return " ".join(f"+{c}" for c in ("memory", "pids", "cpu", "io") if c in there)


def _remove_tree(place: Path) -> None:
    """Kill all processes in a cgroup and in those below it, and remove them."""
    for folder in (*sorted((p for p in place.rglob("*") if p.is_dir()), reverse=True), place):
        _empty(folder)
        _remove_when_free(folder)


def _remove_when_free(folder: Path) -> None:
    """Remove a cgroup, with retries: it may stay busy for a moment after its last process has ended."""
    deadline = time.monotonic() + deadlines.stretched(_ENDING)
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _places(run: str) -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT / run]
    found = (ROOT / controller for controller in _V1_CONTROLLERS if (ROOT / controller / "cgroup.procs").exists())
    # systemd mounts cpu and cpuacct together: both names are links to one hierarchy
    return [hierarchy / run for hierarchy in dict.fromkeys(map(Path.resolve, found))]


def _empty(folder: Path) -> None:
    """Kill every process in a cgroup and wait until it has none."""
    deadline = time.monotonic() + deadlines.stretched(_ENDING)
    while (pids := text_of(folder / "cgroup.procs").split()) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.01)


_ENDING = 5.0
"""Seconds that killed processes may take to end: with a quota they have a fraction of a CPU for it."""
