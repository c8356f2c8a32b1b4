"""What a workload is: a root file system, the commands that are run in it, and the numbers that are read from them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.images.archive import DATA

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from isobench.core.model import Unit

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRON: Mapping[str, str] = {"PATH": PATH, "HOME": "/root"}
"""The variables of every command, in every environment. Those that an engine adds are not passed on."""
MOST_OUTPUT = 64 << 20
"""Bytes that a command may write: more counts as output without end."""
SHOWN = 2000
"""Bytes that are kept of the end of a failed command's output."""
READ = 65536
"""Bytes of the end of the driver's output from which numbers are read."""
READY_SECONDS = 60.0
"""How long a server may take to become ready."""


FEWEST_BYTES, MOST_CPUS = 512 << 20, 4
"""The least memory and the most CPUs of an instance, unless the user chooses."""


class Allotment(NamedTuple):
    """What an instance gets, the same in every environment. 0: not chosen."""

    cpus: int = 0
    memory_bytes: int = 0


UNCHOSEN = Allotment()


class Root(NamedTuple):
    """A root file system: its archive, and the image's configuration for running its program."""

    archive: Path
    environ: Mapping[str, str] = {}
    folder: str = DATA
    """The working folder of commands."""
    user: tuple[int, int] | None = None
    """The user and the group of commands; the probe's if there is none."""
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """The image's default arguments of its entry point."""


class Command(NamedTuple):
    """One command in the root file system."""

    words: tuple[str, ...]
    environ: Mapping[str, str] = {}
    """Variables in addition to `ENVIRON` and to those of the image."""
    is_entered: bool = False
    """Whether the words are arguments of the image's entry point."""

    def step(
        self, root: Root, *options: str, cpus: int, keep: int = SHOWN, more: Mapping[str, str] | None = None
    ) -> list[str]:
        """The words of a step of the probe's verb `run` (bench/probe/run.c). `more` are further variables."""
        words = (*root.entrypoint, *(self.words or root.arguments)) if self.is_entered else self.words
        variables = {**ENVIRON, **root.environ, **self.environ, **(more or {})}
        environ = [f"env={name}={value}" for name, value in variables.items()]
        user = [f"user={root.user[0]}:{root.user[1]}"] if root.user is not None else []
        limits = [f"cpus={cpus}", f"keep={keep}", f"most={MOST_OUTPUT}", f"words={len(words)}"]
        return [*options, f"cwd={root.folder}", *environ, *user, *limits, "--", *words]


class Server(NamedTuple):
    """A command that keeps running while the driver runs, and how it shows that it is ready: a port of 127.0.0.1 that
    accepts connections, a text in its output, or a command that succeeds."""

    command: Command
    port: int = 0
    line: str = ""
    asked: Command | None = None

    def steps(self, root: Root, cpus: int, port: int = 0) -> list[list[str]]:
        """Starting it, and waiting until it is ready. `port` is where it has to listen, if not at its own."""
        port = port or self.port
        more = {"PORT": str(port)} if port else {}
        within = f"within={deadlines.stretched(READY_SECONDS):.0f}"
        sign = [f"port={port}"] if self.port else [f"line={self.line}"] if self.line else []
        start = self.command.step(root, "as=server", within, *sign, cpus=cpus, more=more)
        asked = [] if self.asked is None else [self.asked.step(root, "as=retry", within, cpus=cpus, more=more)]
        return [start, *asked]


class Number(NamedTuple):
    """One number in the driver's output: the first group of a pattern, or a path of keys and indices in JSON."""

    name: str
    unit: Unit
    meaning: str
    pattern: re.Pattern[str] | None = None
    path: tuple[str, ...] = ()
    factor: float = 1.0
    """The factor that converts the number to seconds or bytes."""
    is_rate: bool = False
    """Whether the number is a rate per second: the cost is then the seconds of one."""

    def read(self, output: str) -> float:
        """Its value in seconds or bytes. Raises `MeasurementError` if the output has none."""
        found = _matched(self.pattern, output) if self.pattern is not None else _looked_up(self.path, output)
        try:
            value = float(found)
            return self.factor / value if self.is_rate else self.factor * value
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            raise MeasurementError(
                f"{self.name} is {found!r:.80}, which is not a number", console=output[-SHOWN:]
            ) from None


class Workload(NamedTuple):
    """A program to measure. `root` makes its root file system, or finds it in the cache; it raises an `IsobenchError`
    if that is impossible on this host."""

    name: str
    title: str
    root: Callable[[], Root]
    command: Command
    """What is timed: the program, or the server's driver."""
    prepare: tuple[Command, ...] = ()
    """Run before, in each instance, and not timed."""
    server: Server | None = None
    warm_up: Command | None = None
    """Run before the driver, where the driver runs, and not timed: what follows is the steady state."""
    numbers: tuple[Number, ...] = ()
    expect: re.Pattern[str] | None = None
    """What the output of a correct answer contains."""
    is_driven_from_host: bool = False
    """Whether the driver runs on the host, and reaches the server at `$SERVER`, port `$PORT`."""
    requests: int | re.Pattern[str] | None = None
    """How many requests the driver makes, or a pattern whose first groups in its output add up to that."""
    memory_bytes: int = 0
    """How much memory an instance must have at least."""
    cpus: int = 1
    """How many CPUs an instance must have at least."""
    packages: tuple[str, ...] = ()
    """The Debian packages in its root file system."""
    if_it_fails: str = ""
    """What to do if one of its commands fails, in words."""

    def requested(self, output: str) -> float:
        """How many requests the driver made, from its output; 1 if they are not counted. Raises `MeasurementError` if
        the output does not tell."""
        if self.requests is None or isinstance(self.requests, int):
            return float(self.requests or 1)
        try:
            made = sum(float(found[1]) for found in self.requests.finditer(output))
        except (TypeError, ValueError):
            made = 0.0
        if made > 0:
            return made
        reason = f"the output does not say how many requests were made: nothing matches {self.requests.pattern!r:.80}"
        raise MeasurementError(reason, console=output[-SHOWN:])


def _matched(pattern: re.Pattern[str], output: str) -> Any:
    found = pattern.search(output)
    if found is None:
        reason = f"the output has nothing that matches {pattern.pattern!r:.80}"
        raise MeasurementError(reason, console=output[-SHOWN:])
    return found[1]


def _looked_up(path: tuple[str, ...], output: str) -> Any:
    try:
        value = json.loads(output)
        for key in path:
            value = value[int(key)] if isinstance(value, list) else value[key]
    except (ValueError, RecursionError):
        raise MeasurementError("the output is not JSON", console=output[-SHOWN:]) from None
    except (KeyError, IndexError, TypeError):
        reason = f"the JSON of the output has no {'.'.join(path)}"
        raise MeasurementError(reason, console=output[-SHOWN:]) from None
    return value
