"""The life of a run on its host: its name, its state file, its folder, and the cleanup at its end.

Everything that a run creates carries its name, `isobench-<run id>`. The state file is written before anything is
created and removed after everything is gone; a copy is in the work folder, which survives a reboot. Both are locked as
long as their run lives, so that `leftovers` can tell a dead run from a living one.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError
from isobench.core.remedies import mends
from isobench.core.signals import interruptible, orderly
from isobench.filesystem.files import atomic_write
from isobench.filesystem.paths import RUN_PREFIX, state_dir, work_root
from isobench.lifecycle import engines
from isobench.lifecycle.leftovers import OWNER, remove
from isobench.lifecycle.measuring import measuring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isobench.lifecycle.leftovers import Sweep


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

    `sweep` calls the mechanisms (isobench.planning.catalog). What cannot be removed stays recorded for `clean`. Signals
    interrupt the work inside, but never the cleanup.
    """
    name = f"{RUN_PREFIX}{run_id}"
    with orderly(), ExitStack() as held:
        held.enter_context(_claim(state_dir() / f"{name}.json", _record(name)))
        try:
            workdir = _make(work_root() / name)
            held.enter_context(_claim(workdir / OWNER, _record(name), unlocked=True))
            with interruptible():
                yield workdir
        finally:
            remove(name, sweep)


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
    return {"name": name, "pid": os.getpid(), "engines": engines.used()}


def _make(workdir: Path) -> Path:
    try:
        workdir.parent.mkdir(parents=True, exist_ok=True)
        workdir.mkdir(mode=0o711)
    except OSError as error:
        raise UsageError(f"cannot work in {workdir.parent}: {error.strerror}", remedy="set ISOBENCH_WORK") from error
    return workdir
