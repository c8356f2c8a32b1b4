"""The life of a run on its host: its name, the lock, the state file, its folder, and what is swept when it died.

Everything a run makes carries its name, `isobench-<run id>`. The state file is written before the first of it is
made and removed after the last is gone; a copy lies in the work folder. Both are locked as long as their run lives:
`clean` goes by those that it can lock, and touches no folder that does not say whose it is.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import signal
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.accounting import peer_pid
from bench.errors import UsageError
from bench.files import place
from bench.mounts import remove_tree, unmount_below
from bench.paths import RUN_PREFIX, half_made, state_dir, work_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Sweep = Callable[[str], list[str]]

_NAME = re.compile(rf"^{RUN_PREFIX}\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}$")
_OWNER = "run.json"
"""In a run's work folder: the copy of its state file."""
NOT_CLEANED = "not cleaned"
PATIENCE = 20.0
"""Seconds that a run has to end in after the first signal, before a second one may cut that short."""
_ENGINES = ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI")


def new_run_id() -> str:
    """UTC time to the second and six random hexadecimal digits."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(3)


@contextmanager
def running(run_id: str, *, wait: bool = False, sweep: Sweep = lambda name: []) -> Iterator[Path]:
    """A workspace for a run that measures: one at a time on a host.

    Raises `UsageError` when another run holds the lock (its pid is named) and `wait` is not set.
    """
    with _lock(wait), workspace(run_id, sweep) as workdir:
        yield workdir


@contextmanager
def workspace(run_id: str, sweep: Sweep = lambda name: []) -> Iterator[Path]:
    """Keep a state file, give a work folder, and remove at the end all that carries this run's name, however it ends.

    `sweep` asks the mechanisms (bench.catalog). What cannot be removed now stays written down for `clean`.
    """
    name = f"{RUN_PREFIX}{run_id}"
    with _orderly_signals(), ExitStack() as held:
        held.enter_context(_claim(state_dir() / f"{name}.json", _record(name)))
        try:
            workdir = _make(work_root() / name)
            held.enter_context(_claim(workdir / _OWNER, _record(name)))
            yield workdir
        finally:
            _remove(name, sweep)


def clean(sweep: Sweep, *, dry_run: bool = False) -> list[str]:
    """Remove whatever dead runs left behind; says what, a line each. What could not be begins with "not cleaned"."""
    done: list[str] = []
    for name, record in _dead():
        if dry_run:
            done.append(f"would clean {name}")
            continue
        with _engines_of(record):
            done += _remove(name, sweep)
    for folder in half_made():
        done += [f"would remove {folder}"] if dry_run else _remove_folder(folder)
    return done


def dead_runs() -> list[str]:
    """The names of runs that left a state file or a folder, and whose process is gone."""
    return [name for name, _ in _dead()]


_PROGRAMS = {"probe", "virtiofsd", "conmon", "podman", "fuse-overlayfs"}
_PROGRAMS |= {"runc", "crun", "runsc", "ctr", "systemd-nspawn", "bwrap"}
_FAMILIES = ("qemu-system-", "containerd-shim", "lxc-")
"""The programs that environments start with the run's folder on their command line; how others' names begin."""


def kill_processes(name: str) -> list[int]:
    """Kill the processes of this run: its programs run from its folder, what served them names that folder.

    Somebody who looks at what is there is left alone: who has a terminal, who is only working in the folder, and whose
    program is none that an environment starts (the tar of a backup).
    """
    needle = f"/{name}/".encode()
    killed = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError, ValueError, IndexError):
            words = (entry / "cmdline").read_bytes() + b"\0"
            places = b"".join(bytes((entry / link).readlink()) + b"/\0" for link in ("root", "exe"))
            if needle in places or (needle in words and not _has_terminal(entry) and _is_ours(entry, name, words)):
                os.kill(int(entry.name), signal.SIGKILL)
                killed.append(int(entry.name))
    return killed


def _is_ours(process: Path, name: str, words: bytes) -> bool:
    """Whether a process is in a cgroup of this run, or is a program that an environment starts, of this user.

    A runtime that runs a sealed copy of itself (`/memfd:…`) is known by the name it was called by. libvirt runs QEMU as
    a user of QEMU's own.
    """
    if f"/{name}" in (process / "cgroup").read_text(errors="replace"):
        return True
    program = os.fsdecode(bytes((process / "exe").readlink()))
    if program.startswith("/memfd:"):
        program = os.fsdecode(words.partition(b"\0")[0])
    program = program.rpartition("/")[2]
    mine = process.stat().st_uid == os.geteuid() or program.startswith("qemu-system-")
    return mine and (program in _PROGRAMS or program.startswith(_FAMILIES))


def _remove(name: str, sweep: Sweep) -> list[str]:
    """Remove all that carries a run's name; its state file last, and only if nothing remains."""
    done = [f"killed process {pid} of {name}" for pid in kill_processes(name)]
    done += sweep(name)
    workdir = work_root() / name
    done += [f"unmounted {mount}" for mount in unmount_below(workdir)]
    if any(line.startswith(NOT_CLEANED) for line in done):
        return done
    if workdir.exists():
        done += _remove_folder(workdir)
    if not workdir.exists():
        (state_dir() / f"{name}.json").unlink(missing_ok=True)
    return done


def _remove_folder(folder: Path) -> list[str]:
    """Says what it did, or what stood in the way."""
    mounted = remove_tree(folder)
    if mounted:
        return [f"{NOT_CLEANED}: {point} is still mounted" for point in mounted]
    return [f"{f'{NOT_CLEANED}: ' if folder.exists() else ''}folder {folder}"]


def _dead() -> Iterator[tuple[str, dict[str, object]]]:
    """Name and record of every run that has died. Each is locked while the caller has it: two never clean one run."""
    files: dict[str, list[Path]] = {}
    for file in state_dir().glob(f"{RUN_PREFIX}*.json"):
        files.setdefault(file.stem, []).append(file)
    for file in work_root().glob(f"{RUN_PREFIX}*/{_OWNER}"):
        files.setdefault(file.parent.name, []).append(file)
    for name in sorted(filter(_NAME.match, files)):
        with ExitStack() as held:
            locked = [held.enter_context(_locked(file)) for file in files[name]]
            if all(record is not None for record in locked):
                yield name, next((record for record in locked if record), {})


@contextmanager
def _locked(file: Path) -> Iterator[dict[str, object] | None]:
    """Lock a state file and read it; None where it cannot be locked because its run lives, or is gone already.

    The kernel drops a lock with its process, so that neither a pid that is another's by now nor one that means
    something else in another pid namespace can mislead. A file that says nothing was cut off with its machine.
    """
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(file.open("rb"))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            record = json.loads(handle.read())
        except OSError:
            yield None
            return
        except ValueError:
            record = {}
        yield record if isinstance(record, dict) else {}


@contextmanager
def _claim(file: Path, record: dict[str, object]) -> Iterator[None]:
    """A state file, whole and locked from the first moment that it can be seen."""
    try:
        descriptor = place(file, [json.dumps(record).encode()], lock=True)
    except OSError as error:
        raise UsageError(f"cannot keep {file}: {error.strerror}", remedy="make room there") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _record(name: str) -> dict[str, object]:
    engines = {variable: os.environ[variable] for variable in _ENGINES if variable in os.environ}
    return {"name": name, "pid": os.getpid(), "engines": engines}


def _has_terminal(process: Path) -> bool:
    """Whether a process has a controlling terminal (proc(5), stat's tty_nr)."""
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[4] != "0"


def _make(workdir: Path) -> Path:
    try:
        workdir.mkdir(mode=0o711, parents=True)
    except OSError as error:
        raise UsageError(f"cannot work in {workdir.parent}: {error.strerror}", remedy="set ISOBENCH_WORK") from error
    return workdir


@contextmanager
def _engines_of(record: dict[str, object]) -> Iterator[None]:
    """The engines that a dead run used, and no others, for the time of its sweep."""
    before = {variable: os.environ.pop(variable, None) for variable in _ENGINES}
    engines = record.get("engines", before)
    for variable, value in engines.items() if isinstance(engines, dict) else ():
        if variable in _ENGINES and isinstance(value, str):
            os.environ[variable] = value
    try:
        yield
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value


_HOST_LOCK = "\0isobench-measuring"
"""An abstract unix socket: one name for all users of a host (of a network namespace), gone with who has it."""


@contextmanager
def _lock(wait: bool) -> Iterator[None]:
    """One run at a time on a host. The kernel drops the lock with its process, so it is never stale.

    The state folder is another for another user, so that there is a lock for the host besides. Who sets ISOBENCH_STATE
    stands apart from other runs on purpose, and has the lock of that folder alone.
    """
    with (state_dir() / "lock").open("a+") as file, ExitStack() as held:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            raise _refusal(file.read().strip()) from None
        if "ISOBENCH_STATE" not in os.environ:
            held.enter_context(_host_lock(wait))
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _host_lock(wait: bool) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind(_HOST_LOCK)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                if not wait:
                    raise _refusal(str(peer_pid(_HOST_LOCK) or "")) from None
                time.sleep(0.2)
            else:
                break
        lock.listen(socket.SOMAXCONN)  # so that others learn the pid; nobody is ever answered
        yield


def _refusal(holder: str) -> UsageError:
    reason = f"another run is measuring on this host (pid {holder or 'unknown'})"
    return UsageError(reason, remedy="wait for it, or run with --wait")


@contextmanager
def _orderly_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does; one that follows while it ends does not disturb the cleaning up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    first: list[float] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if first and time.monotonic() - first[0] < PATIENCE:
            return
        first[:] = [time.monotonic()]
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
