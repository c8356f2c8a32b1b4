"""The life of a run on its host: its name, the lock, the state file, its folder, and the cleanup after its death.

Everything that a run creates carries its name, `isobench-<run id>`. The state file is written before anything is
created and removed after everything is gone; a copy is in the work folder, which survives a reboot. Both are locked as
long as their run lives. `clean` handles the files of this user that it can lock (bench/filesystem/ownership.py); they
record the run and which of the engines known to `clean` it used.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import Unavailable, UsageError
from isobench.core.remedies import mends
from isobench.core.signals import interruptible, orderly
from isobench.daemons.private import addresses
from isobench.filesystem.cache import half_made
from isobench.filesystem.files import atomic_write, try_lock
from isobench.filesystem.mounts import remove_tree, unmount_below
from isobench.filesystem.ownership import NotOurs, folder, open_file, open_folder
from isobench.filesystem.paths import (
    RUN_PREFIX,
    RUN_VARIABLE,
    short_link,
    state_dir,
    variable,
    work_folder,
    work_root,
)
from isobench.host.accounting import QEMU_NAMES, cgroup_paths, cgroups_of, users_of
from isobench.host.endings import has_variable, kill_all
from isobench.run import catalog
from isobench.run.measuring import measuring

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    Sweep = Callable[[str], list[str]]

_NAME = re.compile(rf"^{RUN_PREFIX}\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}$")
_OWNER = "run.json"
"""The copy of a run's state file in its work folder."""
NOT_CLEANED = "not cleaned"


def new_run_id() -> str:
    """UTC time to the second and six random hexadecimal digits."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(3)


@contextmanager
def running(run_id: str, *, wait: bool = False, sweep: Sweep = lambda name: []) -> Iterator[Path]:
    """A workspace for a run that measures; only one at a time per host.

    Raises `UsageError` when another run holds the lock (its pid is named) and `wait` is not set.
    """
    with measuring(wait), workspace(run_id, sweep) as workdir:
        yield workdir


@contextmanager
def workspace(run_id: str, sweep: Sweep = lambda name: []) -> Iterator[Path]:
    """Keep a state file, provide a work folder, and in the end always remove all that carries the run's name.

    `sweep` calls the mechanisms (isobench.run.catalog). What cannot be removed stays recorded for `clean`. Signals
    interrupt the work inside, but never the cleanup.
    """
    name = f"{RUN_PREFIX}{run_id}"
    with orderly(), ExitStack() as held:
        held.enter_context(_claim(state_dir() / f"{name}.json", _record(name)))
        try:
            workdir = _make(work_root() / name)
            held.enter_context(_claim(workdir / _OWNER, _record(name), unlocked=True))
            with interruptible():
                yield workdir
        finally:
            _remove(name, sweep)


def clean(sweep: Sweep, *, dry_run: bool = False) -> list[str]:
    """Remove whatever dead runs left behind; returns a line for each. Failures begin with "not cleaned"."""
    done: list[str] = []
    for name, record in _dead():
        if dry_run:
            done.append(f"would clean {name}")
        elif unknown := _unknown_engines(record):
            done.append(f"{NOT_CLEANED}: {name} used another engine; set {unknown} if it is yours, then isobench clean")
        else:
            with _engines_of(record):
                done += _remove(name, sweep)
    for making in half_made():
        done += [f"would remove {making}"] if dry_run else _remove_folder(making)
    return done + _left_alone()


def dead_runs() -> list[str]:
    """The names of dead runs that left a state file or a folder."""
    return [name for name, _ in _dead()]


def kill_processes(name: str) -> list[int]:
    """Kill the processes of this run: programs that run from its folder, those that name the folder or the run, and
    those that were started with its name in RUN_VARIABLE.

    Only this user's (and QEMU's own user's): of anybody else's nothing is read but the user. Somebody who looks at
    what is there is left alone: who has a terminal, who is only working in the folder, and whose program is none that
    an environment starts (the tar of a backup).
    """
    needle, ours = os.fsencode(f"{work_root() / name}/"), catalog.programs()
    return kill_all(lambda pid: _is_ours(Path(f"/proc/{pid}"), name, needle, ours))


def _is_ours(process: Path, name: str, needle: bytes, programs: Collection[str]) -> bool:
    """Whether a process runs from the run's folder, or was started with the run's name in its environment, or names the
    run and is in a cgroup of the run, or is a program that an environment starts.

    A runtime that runs a sealed copy of itself (`/memfd:…`) is known by the name it was called by. libvirt runs QEMU as
    a user of QEMU's own.
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


def _remove(name: str, sweep: Sweep) -> list[str]:
    """Remove all that carries a run's name; its state file last, and only if nothing remains."""
    done = [f"killed process {pid} of {name}" for pid in kill_processes(name)]
    done += sweep(name)
    workdir = work_folder(name)
    if workdir is not None:
        done += [f"unmounted {mount}" for mount in unmount_below(workdir)]
    if any(line.startswith(NOT_CLEANED) for line in done):
        return done
    if workdir is not None:
        done += _remove_folder(workdir)
    short_link(name).unlink(missing_ok=True)
    if work_folder(name) is None:
        (state_dir() / f"{name}.json").unlink(missing_ok=True)
    return done


def _remove_folder(folder: Path) -> list[str]:
    """Returns what it did, or what prevented it."""
    mounted = remove_tree(folder)
    if mounted:
        return [f"{NOT_CLEANED}: {point} is still mounted" for point in mounted]
    return [f"{f'{NOT_CLEANED}: ' if folder.exists() else ''}folder {folder}"]


def _dead() -> Iterator[tuple[str, dict[str, object]]]:
    """Name and record of every dead run. Each is locked while the caller handles it, so that only one cleans it."""
    with folder(state_dir()) as state, _work() as work:
        names = {name.removesuffix(".json") for name in os.listdir(state)} | set(_names(work))
        for name in sorted(filter(_NAME.fullmatch, names)):
            with ExitStack() as held, suppress(_Alive):
                found = [_locked(f"{name}.json", state, held)]
                with suppress(OSError, NotOurs):
                    inside = open_folder(name, work)
                    held.callback(os.close, inside)
                    found.append(_locked(_OWNER, inside, held, known_dead=found[0] is not None))
                if found != [None] * len(found):
                    yield name, next(filter(None, found), {})


class _Alive(Exception):
    """The run is alive, or may be."""


def _locked(file: str, where: int, held: ExitStack, *, known_dead: bool = False) -> dict[str, object] | None:
    """Lock a state file and read it; None if there is none of this user. Raises `_Alive` if it cannot be locked.

    The kernel drops a lock with its process, so neither a reused pid nor one of another pid namespace can mislead. An
    empty file was cut off when its machine went down.
    """
    try:
        descriptor = open_file(file, where, write=True)
    except (OSError, NotOurs):
        return None
    held.callback(os.close, descriptor)
    try:
        if not try_lock(descriptor):
            raise _Alive
    except OSError:  # no locks on that file system: the other file decides
        if not known_dead:
            raise _Alive from None
    if os.fstat(descriptor).st_nlink == 0:  # another process has just cleaned it
        return None
    try:
        record = json.loads(os.read(descriptor, os.fstat(descriptor).st_size))
    except (ValueError, RecursionError):
        record = {}
    return record if isinstance(record, dict) else {}


@contextmanager
def _work() -> Iterator[int]:
    """A descriptor of the folder with the work folders, including other users'; -1 if there is none."""
    descriptor = -1
    with suppress(OSError):
        descriptor = os.open(work_root(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _names(work: int) -> list[str]:
    """The entries there that have the name of a run."""
    return sorted(filter(_NAME.fullmatch, os.listdir(work))) if work >= 0 else []


def _left_alone() -> list[str]:
    """Other users' folders with the name of a run: they may be runs of theirs, or traps."""
    theirs = []
    with _work() as work:
        for name in _names(work):
            with suppress(OSError):
                if os.stat(name, dir_fd=work, follow_symlinks=False).st_uid != os.geteuid():
                    theirs.append(name)
    if not theirs:
        return []
    more = f" and {len(theirs) - 3} more" if len(theirs) > 3 else ""
    return [f"left alone, not this user's: {', '.join(theirs[:3])}{more} in {work_root()}"]


@contextmanager
def _claim(file: Path, record: dict[str, object], *, unlocked: bool = False) -> Iterator[None]:
    """Create a state file that is complete and locked as soon as it is visible. Others may not open it, because whoever
    can open it can lock it. `unlocked`: it need not be locked if its file system has no locks."""
    text = [json.dumps(record).encode()]
    try:
        try:
            descriptor = atomic_write(file, text, mode=0o600, lock=True)
        except OSError:
            if not unlocked:
                raise
            descriptor = atomic_write(file, text, mode=0o600)
    except OSError as error:
        raise UsageError(f"cannot keep {file}: {error.strerror}", remedy=mends(error, "ISOBENCH_STATE")) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _record(name: str) -> dict[str, object]:
    return {"name": name, "pid": os.getpid(), "engines": _engines()}


def _engines() -> dict[str, str]:
    """The engines that are used from here, by the variable that chooses them; also where something else chooses (a
    docker context), or nothing: that may be another when it is cleaned."""
    found = {}
    for engine in catalog.engines():
        address = variable(engine.variable)
        with suppress(Unavailable):  # if it is not known, nothing is created there
            address = engine.chosen() if engine.chosen is not None else address
        if address:
            found[engine.variable] = address
    return found


def _has_terminal(process: Path) -> bool:
    """Whether a process has a controlling terminal (tty_nr of stat, proc(5))."""
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[4] != "0"


def _make(workdir: Path) -> Path:
    try:
        workdir.parent.mkdir(parents=True, exist_ok=True)
        workdir.mkdir(mode=0o711)
    except OSError as error:
        raise UsageError(f"cannot work in {workdir.parent}: {error.strerror}", remedy="set ISOBENCH_WORK") from error
    return workdir


def _unknown_engines(record: dict[str, object]) -> str:
    """The variables whose recorded value is not a known engine ("DOCKER_HOST=tcp://…"), or nothing."""
    used, here, private = record.get("engines"), _engines(), addresses()
    unknown = []
    for name, usual, _ in catalog.engines():
        value = used.get(name) if isinstance(used, dict) else None
        if value is not None and value not in (*usual, here.get(name), private.get(name)):
            unknown.append(f"{name}={str(value)[:200]}")
    return " ".join(unknown)


@contextmanager
def _engines_of(record: dict[str, object]) -> Iterator[None]:
    """Select the known engines that a dead run used, and no others, during its sweep."""
    here, before = _engines(), {}
    engines = record.get("engines", here)
    for name in (engine.variable for engine in catalog.engines()):
        value = engines.get(name) if isinstance(engines, dict) else None
        if value != here.get(name):  # otherwise keep what defines it, such as a context's certificates
            before[name] = os.environ.pop(name, None)
            if value:
                os.environ[name] = str(value)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
