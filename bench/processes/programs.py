"""External programs: finding them in one way, so that `provision` and all other code agree, and running them."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ALSO = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Searched after PATH, which for ordinary users often lacks the folders of system daemons and tools."""


def find(name: str) -> str | None:
    """The path of a program in PATH or in the system's folders; None if it does not exist."""
    return _which(name, search_path())


def find_all(name: str) -> list[str]:
    """Every program of that name, in the order in which they would be found."""
    places = (_which(name, folder) for folder in search_path().split(os.pathsep))
    return list(dict.fromkeys(place for place in places if place is not None))


def _which(name: str, path: str) -> str | None:
    import shutil

    return shutil.which(name, path=path)


def search_path() -> str:
    """PATH followed by the system's folders, for child processes.

    Without relative folders: anybody may have put a program with a tool's name into the current folder, for root to
    run, and in another folder the name would mean another program.
    """
    own = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder.startswith("/")]
    return os.pathsep.join([*own, *(folder for folder in _ALSO if folder not in own)])


def version(program: str, option: str = "--version") -> str:
    """The first line of a program's version output; empty if there is none, or only an error."""
    import subprocess

    with suppress(OSError, subprocess.SubprocessError), _scratch() as environ:
        seconds = deadlines.stretched(30)
        done = subprocess.run(
            [program, option], capture_output=True, errors="replace", timeout=seconds, check=False, env=environ
        )
        if done.returncode == 0:
            return next(iter((done.stdout.strip() or done.stderr.strip()).splitlines()), "")
    return ""


def major_version(program: str, before: str = "") -> int:
    """The major version in a program's version output, which follows the words `before`; 0 if it says anything
    else, as a program does that only has another one's name."""
    said = re.match(rf"{re.escape(before)}(\d+)\.", version(program))
    return int(said[1]) if said else 0


@contextmanager
def _scratch() -> Iterator[dict[str, str]]:
    """This process's environment with a temporary XDG_RUNTIME_DIR: Podman creates folders there even to print its
    version, and in /tmp without one."""
    from tempfile import TemporaryDirectory

    environ = dict(os.environ)
    try:
        folder = TemporaryDirectory(prefix="isobench-", ignore_cleanup_errors=True)
    except OSError:  # nothing can be written, so neither can the tool
        yield environ
        return
    with folder as environ["XDG_RUNTIME_DIR"]:
        yield environ


def output(
    words: Sequence[str],
    seconds: float,
    *,
    stdin: int | None = None,
    environ: Mapping[str, str] | None = None,
    refused: str = "",
) -> str:
    """The output of a tool used for setup or cleanup. It runs in its own process group, out of reach of Ctrl-C.

    Raises `MeasurementError` with the end of its error output, or with the cause if that is above it; also if the tool
    succeeds, but had to say something with the words `refused` about it.
    """
    import subprocess

    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=True,
            env=environ,
            process_group=0,
        )
        told = [line for line in done.stderr.splitlines() if refused and refused in line]
        if not told:
            return done.stdout
        said = _message(told[0])
    except subprocess.CalledProcessError as error:
        said = _cause(error.stderr) or _ended(error.returncode)
    except subprocess.TimeoutExpired:
        said = f"it did not end within {seconds:.0f} s"
    except OSError as error:
        said = error.strerror or str(error)
    raise MeasurementError(f"{' '.join(words[:2])}: {said}")


def _ended(status: int) -> str:
    """How a program ended that said nothing; a negative status is the signal that killed it (subprocess)."""
    import signal

    if status >= 0:
        return f"it exited with status {status}"
    try:
        return f"it was killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"it was killed by signal {-status}"


def _cause(errors: str) -> str:
    """The end of what a program wrote to standard error, in one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    lines = [line for line in lines if not re.search(_WARNING, line)] or lines
    kept = [_message(line) for line in lines if not re.search(_HINT, line)] or lines
    told = telling_line(lines)
    return ("; ".join(kept) if told in kept[-1:] else told)[-400:]


_SAYS_NOTHING = (
    r"(?i)additional information can be obtained|failed to create lxc_container|pid from pipe: eof|we can't allow that"
    r"|\.(go|s):\d+ \+0x|<no Python frame>|rootlesskit:parent\] error: (child exited: exit status|dial unix \S)"
)
"""Matches last lines of LXC, runc, nspawn, RootlessKit, and of Go's and Python's tracebacks, which have the cause above
them."""
_HINT = r"dmesg\(1\) may have more information"
"""Matches the line that mount(8) adds to each cause."""
_LOGGED = r'time="[^"]*" level=\w+ msg=("(?:[^"\\]|\\.)*"|\S+)'
"""Matches how Go programs log a message, with a time, by which the same message would be another one each time."""
_WARNING = r"(?i)\blevel=(warning|info|debug)\b"
"""Matches lines of Go programs that do not contain a cause."""
_CAUSE = r"(?i)fatal|error|denied|not permitted|failed|no such"


def telling_line(lines: Sequence[str]) -> str:
    """The line that explains why a program failed: the last one, or the first cause if the last one explains
    nothing."""
    lines = [line for line in lines if not re.search(_HINT, line)] or lines
    if not lines or not re.search(_SAYS_NOTHING, lines[-1]):
        return _message(lines[-1]) if lines else ""
    causes = [line for line in lines if re.search(_CAUSE, line) and not re.search(_WARNING, line)]
    return _message(causes[0] if causes else lines[-1])


def _message(line: str) -> str:
    """A line without what a Go program's log adds to its message."""
    logged = re.match(_LOGGED, line)
    if logged is None:
        return line
    message = logged[1]
    if message.startswith('"'):
        message = re.sub(r"\\(.)", lambda found: {"n": " ", "t": " "}.get(found[1], found[1]), message[1:-1])
    return f"{message}{line[logged.end() :]}"
