"""Runs aggressors (`_aggressors.py`) in a root file system that every environment can use.

Each is bounded before it begins, with or without limits of its instance: by how much it asks for, by resource limits,
and by a time after which it ends even if nobody stops it. It runs as a user of its own, because the kernel does not
limit root's processes, and because a normal user cannot lower its OOM score. So a host with the reserves required here
survives it.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Lack, WritesElsewhere
from isobench.contracts.launch import DEFAULT_TIMEOUT, Limits, commands
from isobench.core import deadlines
from isobench.filesystem.paths import work_root
from isobench.images.archive import identity
from isobench.resources.capacity import PID_RESERVE, memory_reserve, pids_free
from isobench.resources.memory import available_memory
from isobench.scenarios import _commands
from isobench.scenarios._aggressors import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.launch import Launch
    from isobench.core.errors import IsobenchError
    from isobench.scenarios._aggressors import Aggressor

PACKAGES = ("fio", "stress-ng")
"""Debian packages, installed with their dependencies."""
WITHOUT = tuple(f"/usr/lib/*/{name}*" for name in ("libLLVM", "libgallium", "libz3"))
"""Files that stress-ng needs only for a GPU: more than half of the archive, of which every guest has a copy."""
MEMORY, LIMITED_MEMORY = 512 << 20, 256 << 20
"""Bytes of memory of an aggressor's instance, without limits and with them."""
PROCESSES = 512
"""Processes that an aggressor may have at most, by its resource limit."""
_DISK_RESERVE = 2 << 30
"""Bytes that must be free where instances write."""
_USER = 60999
"""A user id that no distribution assigns (systemd, "Users, Groups, UIDs and GIDs")."""
_LIFETIME = 4 * DEFAULT_TIMEOUT
"""Seconds from launch to gone: an aggressor outlives three victims that take as long as they may."""
_SETTLES = 0.3
"""Seconds from its start until its load is steady."""
_MOST_WORKERS = 4
"""The most workers of an aggressor whose workers have memory of their own each."""
_GUARD = (
    "prlimit",
    f"--nproc={PROCESSES}:{PROCESSES}",
    f"--as={MEMORY}:{MEMORY}",
    f"--fsize={FILE << 20}:{FILE << 20}",
    "--core=0",
    "--",
)
_STRESS_NG = ("--temp-path", ".", "--cache-size", "4m")
"""Without the last option it first allocates as much memory as the host's CPU cache: hundreds of megabytes."""
_FIO = ("--ioengine=psync", "--thread", "--time_based", "--clocksource=clock_gettime", "--group_reporting")
SAME_LIMITS = {"cpu_percent": 50}
"""The limits of every aggressor, in addition to its memory."""


def command(aggressor: Aggressor, *, create_only: bool = False) -> tuple[str, ...]:
    """Its command line. With `create_only`, fio's to create its files beforehand."""
    cpus = len(os.sched_getaffinity(0))
    given = {"CPUS": f"{cpus}", "WORKERS": f"{min(cpus, _MOST_WORKERS)}"}
    words = tuple(given.get(word, word) for word in aggressor.words)
    seconds = math.ceil(deadlines.scaled(_LIFETIME))
    if not aggressor.is_fio:
        return (*_GUARD, "stress-ng", *_STRESS_NG, "--timeout", f"{seconds}s", *words)
    return (*_GUARD, "fio", *_FIO, f"--runtime={seconds}", *words, *(["--create_only=1"] if create_only else []))


def lacks() -> Lack | None:
    """Why this host cannot run an aggressor: its root file system, which is made now, or the host's reserves."""
    refused = refuses()
    return Lack(refused) if refused else _commands.lack(made())


def refuses(sandbox: Sandbox | None = None) -> str:
    """Why this host has no room for an aggressor now, or not where the sandbox's instances write; empty if it has."""
    available, reserve = available_memory(), memory_reserve()
    if available - 2 * MEMORY < reserve:
        wants = f"{2 * MEMORY >> 20} MiB for an aggressor and its victim"
        return f"{wants} would leave less than {reserve / 2**30:.1f} of {available / 2**30:.1f} GiB of memory"
    if pids_free() - PROCESSES < PID_RESERVE:
        return f"{PROCESSES} processes of an aggressor would leave fewer than {PID_RESERVE} process ids free"
    for folder in (work_root(), *([sandbox.written_to()] if isinstance(sandbox, WritesElsewhere) else [])):
        if os.access(folder, os.F_OK) and (free := shutil.disk_usage(folder).free) < _DISK_RESERVE:
            return f"{folder} has {free / 2**30:.1f} GiB free, and {_DISK_RESERVE / 2**30:.0f} are kept for others"
    return ""


def made() -> Path | IsobenchError:
    """The archive with the programs, or why there is none."""
    return _commands.made(PACKAGES, WITHOUT)


def facts(aggressor: Aggressor, *, limited: bool) -> dict[str, str]:
    """The command, the limits, and the identity of the root file system."""
    return {
        "command": shlex.join(command(aggressor)),
        "limits": _in_words(aggressor) if limited else f"none but {MEMORY >> 20} MiB of memory and its resource limits",
        "programs": identity(_commands.archive(made())),
        **({"matthews": aggressor.matthews} if aggressor.matthews else {}),
    }


def _in_words(aggressor: Aggressor) -> str:
    given = {**SAME_LIMITS, **aggressor.limits}
    words = [f"{given['cpu_percent']} % of a CPU", f"{LIMITED_MEMORY >> 20} MiB of memory"]
    words += [f"{given['processes']} processes"] if "processes" in given else []
    words += [f"{given['write_bytes'] >> 20} MiB/s of writes"] if "write_bytes" in given else []
    return ", ".join(words)


@contextmanager
def pressing(aggressor: Aggressor, sandbox: Sandbox, *, limited: bool) -> Iterator[None]:
    """Run the aggressor in an instance of the sandbox meanwhile. Raises `MeasurementError` if it cannot be started or
    ended early."""
    with sandbox.launch(_launch(aggressor, limited=limited)) as instance:
        os.sync()  # otherwise the copy of a guest's disk would be written back while the victims run
        for number, (fails, _) in enumerate(_steps(aggressor)[:-1]):
            _commands.do(instance, _WHO, fails, first=number == 0)
        time.sleep(deadlines.stretched(_SETTLES))
        yield
        _commands.do(instance, _WHO, "ended before its victims did")
        instance.wait()


def _launch(aggressor: Aggressor, *, limited: bool) -> Launch:
    words = [word for _, step in _steps(aggressor) for word in step]
    memory = LIMITED_MEMORY if limited else MEMORY
    cpus = len(os.sched_getaffinity(0))
    launch = commands(_commands.archive(made()), *words, cpus=cpus, memory_bytes=memory, timeout=_LIFETIME)
    return launch._replace(limits=Limits(**SAME_LIMITS, **aggressor.limits)) if limited else launch


_WHO = "the aggressor"


def _steps(aggressor: Aggressor) -> list[tuple[str, list[str]]]:
    """Its steps, each with the description of its failure."""
    user = f"user={_USER}:{_USER}"
    files = _commands.step(command(aggressor, create_only=True), user)
    begin = _commands.server(command(aggressor), "Starting" if aggressor.is_fio else "dispatching hogs", user)
    before = [("cannot make its files", files)] if aggressor.is_fio else []
    return [*before, ("cannot begin", begin), ("", [*_commands.STOP])]
