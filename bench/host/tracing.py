"""What the host's kernel does for some processes, recorded by its own tracer (Documentation/trace/ftrace.rst).

isobench records in a trace instance of its own, so that nobody else's tracing is affected. If tracefs is not mounted,
it is mounted for this process alone, without a path (fsmount(2)), and vanishes with the process. A trace instance does
not: its creator holds a lock on it, and `sweep` removes those that nobody locks.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import Unavailable
from isobench.processes.accounting import shows_kernel_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOUNTED = Path("/sys/kernel/tracing")
_PREFIX = "isobench-"
_MOST_BYTES, _MOST_BYTES_OF_ALL = 32 << 20, 256 << 20
"""The most kernel memory for a recording: on each CPU, and on all of them."""
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
"""The numbers of these system calls, on every architecture; glibc has them from 2.36 on."""
_CLOEXEC, _CREATE = 1, 6
_IN_INTERRUPT = frozenset(b"hHsZz")


class Kind(NamedTuple):
    """Something that can be recorded: how to begin that in a trace instance, and what its lines in the trace look
    like."""

    word: str
    tasks: str
    """The file to which the ids of the tasks are written."""
    follows: str
    """The option by which their children are recorded, too."""
    begin: tuple[str, str]
    """A file, and what is written to it to begin."""
    line: re.Pattern[bytes]
    """Its groups are the line's flags and the name."""


_LINE = rb"\[\d+\] +(\S{4,6}) +[\d.]+: "
CALLS = Kind(
    "system calls",
    "set_event_pid",
    "options/event-fork",
    ("events/raw_syscalls/sys_enter/enable", "1"),
    re.compile(_LINE + rb"sys_enter: NR (\d+)"),
)
"""Their names are their numbers."""
FUNCTIONS = Kind(
    "kernel functions",
    "set_ftrace_pid",
    "options/function-fork",
    ("current_tracer", "function"),
    re.compile(_LINE + rb"(\w[\w.]*)(?: \[\w+\])? <-"),
)


class Recording:
    """One trace instance, while it records."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self._folder, self._kind = folder, kind

    def begin(self, pids: Iterable[int]) -> None:
        """From now on, record all threads of these processes, and their children. Raises `OSError`, `Unavailable`."""
        tasks = [task for pid in pids for task in _threads(pid)]
        if not tasks:
            raise Unavailable("its processes cannot be seen from here")
        size = min(_MOST_BYTES, _MOST_BYTES_OF_ALL // (os.cpu_count() or 1))
        self._set("buffer_size_kb", str(size >> 10))
        self._set(self._kind.follows, "1")
        self._set(self._kind.tasks, " ".join(map(str, tasks)))
        self._set(*self._kind.begin)

    def found(self) -> tuple[frozenset[str], bool]:
        """The different names recorded until now, and whether events were lost. What the kernel did in an interrupt
        meanwhile is not counted: it served somebody else. Raises `OSError`."""
        self._set("tracing_on", "0")
        with (self._folder / "trace").open("rb") as trace:
            lines = filter(None, map(self._kind.line.search, trace))
            names = {line[2].decode() for line in lines if line[1][2] not in _IN_INTERRUPT}
        stats = [file.read_text() for file in self._folder.glob("per_cpu/cpu*/stats")]
        lost = re.findall(r"^(?:overrun|commit overrun|dropped events): (\d+)$", "".join(stats), re.MULTILINE)
        return frozenset(names), any(map(int, lost))

    def _set(self, file: str, text: str) -> None:
        (self._folder / file).write_text(text)


def _threads(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    return []


@contextmanager
def recording(kind: Kind, pids: Iterable[int]) -> Iterator[Recording]:
    """Record what these processes make the kernel do within the context. Raises `Unavailable` with the kernel's reason
    if that is not permitted, and if their ids are those of a PID namespace."""
    if not shows_kernel_threads():
        raise Unavailable(
            "the kernel's tracer needs process ids of the host's PID namespace, and isobench runs in another one"
        )
    with _tracefs() as root, _instance(root) as folder:
        found = Recording(folder, kind)
        try:
            found.begin(pids)
        except OSError as error:
            raise Unavailable(f"the kernel does not let {kind.word} be traced: {_why(error)}") from error
        yield found


def sweep() -> list[str]:
    """Remove the trace instances of dead runs; returns what was removed."""
    done = []
    with suppress(Unavailable, OSError), _tracefs() as root:
        for folder in (root / "instances").glob(f"{_PREFIX}*"):
            with suppress(OSError):
                lock = _locked(folder)
                try:
                    folder.rmdir()
                    done.append(f"trace instance {folder.name}")
                finally:
                    os.close(lock)
    return done


@contextmanager
def _tracefs() -> Iterator[Path]:
    """The root folder of tracefs. Raises `Unavailable`."""
    if (_MOUNTED / "instances").is_dir():
        yield _MOUNTED
        return
    try:
        context = _call(_FSOPEN, b"tracefs", _CLOEXEC)
        try:
            _call(_FSCONFIG, context, _CREATE, None, None, 0)
            mount = _call(_FSMOUNT, context, _CLOEXEC, 0)
        finally:
            os.close(context)
    except OSError as error:
        raise Unavailable(f"the kernel's tracefs cannot be mounted: {_why(error)}") from error
    try:
        yield Path(f"/proc/self/fd/{mount}")
    finally:
        os.close(mount)


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call. Raises `OSError`."""
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


@contextmanager
def _instance(root: Path) -> Iterator[Path]:
    """A trace instance of our own. Raises `Unavailable`."""
    try:
        folder, lock = _made(root / "instances")
    except OSError as error:
        raise Unavailable(f"the kernel makes no trace instance: {_why(error)}") from error
    try:
        yield folder
    finally:
        folder.rmdir()
        os.close(lock)


def _made(instances: Path) -> tuple[Path, int]:
    """A new instance and the descriptor that holds its lock. Raises `OSError`."""
    while True:
        folder = instances / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        with suppress(
            FileExistsError, FileNotFoundError, BlockingIOError
        ):  # left by a dead run, or swept before it was locked
            folder.mkdir()
            lock = _locked(folder)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _locked(folder: Path) -> int:
    """A descriptor that holds the lock of an instance. Raises `OSError` if somebody else holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _why(error: OSError) -> str:
    return error.strerror or str(error)
