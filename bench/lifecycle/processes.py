"""The processes of a run: which they are, and their end."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.filesystem.paths import RUN_VARIABLE, work_root
from isobench.planning import catalog
from isobench.processes.accounting import QEMU_NAMES, cgroup_paths, cgroups_of, users_of
from isobench.processes.endings import has_variable, kill_all

if TYPE_CHECKING:
    from collections.abc import Collection


def kill_processes(name: str) -> list[int]:
    """Kill the processes of this run: programs that run from its folder, those that name the folder or the run, and
    those that were started with its name in RUN_VARIABLE.

    Only this user's (and those of QEMU's own user): of others nothing but the user is read. Bystanders are left alone:
    processes with a terminal, those that only work in the folder, and programs that no environment starts (the tar of a
    backup).
    """
    needle, ours = os.fsencode(f"{work_root() / name}/"), catalog.programs()
    return kill_all(lambda pid: _is_ours(Path(f"/proc/{pid}"), name, needle, ours))


def _is_ours(process: Path, name: str, needle: bytes, programs: Collection[str]) -> bool:
    """Whether a process runs from the run's folder, or was started with the run's name in its environment, or names the
    run and is in a cgroup of the run, or is a program that an environment starts.

    A runtime that runs a sealed copy of itself (`/memfd:…`) is identified by the name it was called by. libvirt runs
    QEMU as a user of QEMU's own.
    """
    mine, qemus = users_of(int(process.name))
    if not (mine or qemus):
        return False
    words = (process / "cmdline").read_bytes() + b"\0"
    if mine and needle in b"".join(bytes((process / link).readlink()) + b"/\0" for link in ("root", "exe")):
        return True
    if has_variable(int(process.name), f"{RUN_VARIABLE}={name}"):
        return True
    if not (needle in words or _is_named(name, words)) or _has_terminal(process):
        return False
    if mine and any(path.startswith(f"/{name}") for _, path in cgroup_paths(cgroups_of(int(process.name)))):
        return True
    program = os.fsdecode(bytes((process / "exe").readlink()))
    if program.startswith("/memfd:"):
        program = os.fsdecode(words.partition(b"\0")[0])
    program = program.rpartition("/")[2]
    if qemus and program.startswith(QEMU_NAMES):
        return True
    return mine and any(fnmatchcase(program, pattern) for pattern in programs)


def _is_named(name: str, words: bytes) -> bool:
    """Whether a word of a command line names the run or one of its instances, as with containerd's shims."""
    return any(word == name.encode() or word.startswith(f"{name}-".encode()) for word in words.split(b"\0"))


def _has_terminal(process: Path) -> bool:
    """Whether a process has a controlling terminal (tty_nr of stat, proc(5))."""
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[4] != "0"
