"""The life of a run on its host: its name, the lock, the state file, its folder, and what is swept when it died.

Everything a run makes carries its name, `isobench-<run id>`. The state file is written before the first of it is
made and removed after the last is gone; a copy lies in the work folder. `clean` goes by the files of processes that
no longer live, and touches no folder that does not say whose it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.mounts import unmount_below
from bench.paths import RUN_PREFIX, state_dir, work_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_NAME = re.compile(rf"^{RUN_PREFIX}\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}$")
_OWNER = "run.json"
"""In a run's work folder: the copy of its state file."""
_ENGINES = ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI")


def new_run_id() -> str:
    """UTC time to the second and six random hexadecimal digits."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(3)


@contextmanager
def running(run_id: str, *, wait: bool = False) -> Iterator[Path]:
    """Hold the host's lock, keep the state file, give the run's work folder, and remove all three at the end.

    Raises `UsageError` when another run holds the lock (its pid is named) and `wait` is not set.
    """
    name = f"{RUN_PREFIX}{run_id}"
    with _lock(wait), _orderly_signals():
        state = state_dir() / f"{name}.json"
        state.write_text(json.dumps(_state(name)))
        workdir = work_root() / name
        try:
            _make(workdir)
            (workdir / _OWNER).write_text(state.read_text())
            yield workdir
        finally:
            unmount_below(workdir)
            shutil.rmtree(workdir, ignore_errors=True)
            if not workdir.exists():
                state.unlink(missing_ok=True)


def clean(sweep: Callable[[str], list[str]], *, dry_run: bool = False) -> list[str]:
    """Remove whatever dead runs left behind; says what, a line each. `sweep` asks the mechanisms (bench.catalog)."""
    done: list[str] = []
    for name in dead_runs():
        if dry_run:
            done.append(f"would clean {name}")
            continue
        state = state_dir() / f"{name}.json"
        with _engines_of(state):
            done += [f"killed process {pid} of {name}" for pid in kill_processes(name)]
            done += sweep(name)
        workdir = work_root() / name
        done += [f"unmounted {mount}" for mount in unmount_below(workdir)]
        if workdir.exists():
            shutil.rmtree(workdir, ignore_errors=True)
            done.append(f"folder {workdir}")
        state.unlink(missing_ok=True)
    return done


def dead_runs() -> list[str]:
    """The names of runs that left a state file or a folder, and whose process is gone."""
    files = {file.stem: file for file in state_dir().glob(f"{RUN_PREFIX}*.json")}
    files |= {file.parent.name: file for file in work_root().glob(f"{RUN_PREFIX}*/{_OWNER}")}
    return sorted(name for name, file in files.items() if _NAME.match(name) and not _alive(file))


def kill_processes(name: str) -> list[int]:
    """Kill every process that works in the run's folder or names it on its command line, but this one."""
    needle = f"/{name}/".encode()
    killed = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes() + b"\0"
            places = b"".join(bytes((entry / link).readlink()) + b"/\0" for link in ("cwd", "root", "exe"))
            if needle in words or needle in places:
                os.kill(int(entry.name), signal.SIGKILL)
                killed.append(int(entry.name))
    return killed


def _state(name: str) -> dict[str, object]:
    engines = {variable: os.environ[variable] for variable in _ENGINES if variable in os.environ}
    return {"name": name, "pid": os.getpid(), "started": _start_time(os.getpid()), "engines": engines}


def _alive(state: Path) -> bool:
    """Whether the process that wrote this state file still lives (its pid may be another's by now)."""
    try:
        record = json.loads(state.read_text())
        return bool(_start_time(int(record["pid"])) == record["started"] != 0)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 for one that is not there."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return 0 if fields[0] == "Z" else int(fields[19])
    return 0


def _make(workdir: Path) -> None:
    try:
        workdir.mkdir(mode=0o711, parents=True)
    except OSError as error:
        raise UsageError(f"cannot work in {workdir.parent}: {error.strerror}", remedy="set ISOBENCH_WORK") from error


@contextmanager
def _engines_of(state: Path) -> Iterator[None]:
    """The engines that a dead run used, for the time of its sweep."""
    before = {variable: os.environ.get(variable) for variable in _ENGINES}
    with suppress(OSError, ValueError, AttributeError):
        engines = json.loads(state.read_text())["engines"]
        os.environ.update({k: str(v) for k, v in engines.items() if k in _ENGINES and k not in os.environ})
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value


@contextmanager
def _lock(wait: bool) -> Iterator[None]:
    """One run at a time on a host. The kernel drops the lock with its process, so it is never stale."""
    with (state_dir() / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            reason = f"another run is measuring on this host (pid {holder})"
            raise UsageError(reason, remedy="wait for it, or run with --wait") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _orderly_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
