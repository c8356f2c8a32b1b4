"""What dead runs left behind, and its removal.

`clean` handles the state files of this user that it can lock (bench/filesystem/ownership.py); they record the run and
which of the engines known to `clean` it used.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from isobench.filesystem.cache import half_made
from isobench.filesystem.files import try_lock
from isobench.filesystem.mounts import remove_tree, unmount_below
from isobench.filesystem.ownership import NotOurs, folder, open_file, open_folder
from isobench.filesystem.paths import RUN_PREFIX, short_link, state_dir, work_folder, work_root
from isobench.lifecycle import engines
from isobench.lifecycle.processes import kill_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Sweep = Callable[[str], list[str]]

OWNER = "run.json"
"""The copy of a run's state file in its work folder."""
NOT_CLEANED = "not cleaned"
_NAME = re.compile(rf"^{RUN_PREFIX}\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}$")


def clean(sweep: Sweep, *, dry_run: bool = False) -> list[str]:
    """Remove whatever dead runs left behind; returns a line for each. Failures begin with "not cleaned"."""
    done: list[str] = []
    for name, record in _dead():
        if dry_run:
            done.append(f"would clean {name}")
        elif unknown := engines.unknown(record):
            done.append(f"{NOT_CLEANED}: {name} used another engine; set {unknown} if it is yours, then isobench clean")
        else:
            with engines.selected(record):
                done += remove(name, sweep)
    for making in half_made():
        done += [f"would remove {making}"] if dry_run else remove_folder(making)
    return done + _left_alone()


def dead_runs() -> list[str]:
    """The names of dead runs that left a state file or a folder."""
    return [name for name, _ in _dead()]


def remove(name: str, sweep: Sweep) -> list[str]:
    """Remove all that carries a run's name; its state file last, and only if nothing remains."""
    done = [f"killed process {pid} of {name}" for pid in kill_processes(name)]
    done += sweep(name)
    workdir = work_folder(name)
    if workdir is not None:
        done += [f"unmounted {mount}" for mount in unmount_below(workdir)]
    if any(line.startswith(NOT_CLEANED) for line in done):
        return done
    if workdir is not None:
        done += remove_folder(workdir)
    short_link(name).unlink(missing_ok=True)
    if work_folder(name) is None:
        (state_dir() / f"{name}.json").unlink(missing_ok=True)
    return done


def remove_folder(folder: Path) -> list[str]:
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
                    found.append(_locked(OWNER, inside, held, known_dead=found[0] is not None))
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


def left_alone(theirs: list[str], place: Path) -> list[str]:
    """The line that names other users' entries in this folder; none if there are none."""
    if not theirs:
        return []
    more = f" and {len(theirs) - 3} more" if len(theirs) > 3 else ""
    return [f"left alone, not this user's: {', '.join(theirs[:3])}{more} in {place}"]


def _left_alone() -> list[str]:
    """Other users' folders with the name of a run: they may be runs of theirs, or traps."""
    theirs = []
    with _work() as work:
        for name in _names(work):
            with suppress(OSError):
                if os.stat(name, dir_fd=work, follow_symlinks=False).st_uid != os.geteuid():
                    theirs.append(name)
    return left_alone(theirs, work_root())
