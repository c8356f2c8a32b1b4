"""The file of a workload: TOML, checked against one schema (docs/workload.schema.json), errors with file and line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from isobench.core.errors import UsageError
from isobench.filesystem.files import read_regular
from isobench.workloads.measured import TAKEN
from isobench.workloads.root import root_of
from isobench.workloads.workload import Command, Number, Server, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "^[a-z0-9][a-z0-9-]{0,39}$"
_MOST_BYTES = 1 << 20

Words = Annotated[str | list[str], msgspec.Meta(description="A command: a list of words, or a line for /bin/sh")]
Name = Annotated[str, msgspec.Meta(pattern=_NAME)]


class _Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What all tables of the file have in common."""


class RootTable(_Table, frozen=True, kw_only=True):
    """What is in the root file system. At least one of these is given, and not both packages and an image."""

    packages: Annotated[list[str], msgspec.Meta(description="Debian packages, with what they depend on")] = []
    files: Annotated[
        dict[str, str], msgspec.Meta(description="Absolute place inside -> file or folder, relative to this file")
    ] = {}
    folder: Annotated[str, msgspec.Meta(description="A folder, relative to this file, that is laid over the root")] = ""
    image: Annotated[
        str, msgspec.Meta(description="An OCI or Docker archive (./name.tar, relative to this file), or a reference")
    ] = ""


class ReadyTable(_Table, frozen=True, kw_only=True):
    """How the server shows that it is ready: one of these."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="It accepts connections at 127.0.0.1")] | None = None
    line: Annotated[str, msgspec.Meta(min_length=1, max_length=1000, description="Its output has this text")] | None = (
        None
    )
    command: Annotated[Words | None, msgspec.Meta(description="This command exits with 0")] = None


class ServerTable(_Table, frozen=True, kw_only=True):
    """A command that keeps running, in the foreground, while the driver runs."""

    command: Words
    ready: ReadyTable


class DriverTable(_Table, frozen=True, kw_only=True):
    """What is timed: the program, or the client that drives the server."""

    command: Words
    where: Annotated[
        Literal["instance", "host"],
        msgspec.Meta(description="In the server's instance, or on the host: the server is then at $SERVER, port $PORT"),
    ] = "instance"
    warm_up: Annotated[Words | None, msgspec.Meta(description="Run before it, at the same place, and not timed")] = None
    expect: Annotated[str, msgspec.Meta(description="A regular expression: the output of a correct answer")] = ""
    requests: Annotated[
        int | str,
        msgspec.Meta(
            description="How many requests it makes, or a regular expression: its first groups add up to that"
        ),
    ] = 0


class NumberTable(_Table, frozen=True, kw_only=True):
    """A number in the driver's output: `pattern` or `json` finds it."""

    name: Name
    unit: Annotated[
        Literal["s", "ms", "us", "ns", "per second", "B", "KiB", "MiB"],
        msgspec.Meta(description="What the output has; `per second` becomes the seconds of one"),
    ]
    meaning: str
    pattern: Annotated[str, msgspec.Meta(description="A regular expression, whose first group is the number")] = ""
    json: Annotated[str, msgspec.Meta(description="Keys and indices with dots between: jobs.0.read.mean")] = ""


class NeedsTable(_Table, frozen=True, kw_only=True):
    """What an instance must have at least."""

    cpus: Annotated[int, msgspec.Meta(ge=1)] = 1
    memory: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]*[MG]$", description="256M or 1G")] = ""


class WorkloadFile(_Table, frozen=True, kw_only=True):
    """A workload: what is in its root file system, what is run in it, and which numbers are read."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    root: RootTable
    driver: DriverTable
    prepare: Annotated[list[Words], msgspec.Meta(description="Run before, in each instance, and not timed")] = []
    server: ServerTable | None = None
    numbers: list[NumberTable] = []
    environ: Annotated[dict[str, str], msgspec.Meta(description="Variables beside PATH and HOME")] = {}
    needs: NeedsTable = NeedsTable()


_UNITS: dict[str, tuple[Literal["second", "byte"], float]] = {
    "s": ("second", 1.0),
    "ms": ("second", 1e-3),
    "us": ("second", 1e-6),
    "ns": ("second", 1e-9),
    "per second": ("second", 1.0),
    "B": ("byte", 1.0),
    "KiB": ("byte", 1024.0),
    "MiB": ("byte", 1048576.0),
}


class _Wrong(Exception):
    """What is wrong, and with which key."""

    def __init__(self, keys: Sequence[str | int], reason: str) -> None:
        super().__init__(reason)
        self.keys = tuple(keys)
        self.reason = reason


def read_workload(path: Path, name: str = "") -> Workload:
    """The workload of a file; its name is the file's by default. Raises `UsageError` with file and line."""
    try:
        text = read_regular(path, _MOST_BYTES).decode()
        parsed = msgspec.convert(tomllib.loads(text), WorkloadFile)
        return _workload(parsed, name or path.stem, path.parent)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = re.search(r"\(at line (\d+)", str(error))
        raise UsageError(f"{path}{f':{line[1]}' if line else ''}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        wrong = _located(str(error))
        raise UsageError(f"{path}:{line_of(text, wrong.keys)}: {wrong.reason}", remedy=_REMEDY) from error
    except _Wrong as wrong:
        raise UsageError(f"{path}:{line_of(text, wrong.keys)}: {wrong.reason}", remedy=_REMEDY) from wrong


_REMEDY = "docs/workload.schema.json has every field"


def _workload(file: WorkloadFile, name: str, folder: Path) -> Workload:
    if not re.fullmatch(_NAME, name):
        raise _Wrong((), f"{name!r} cannot be a workload's name: small letters, digits and dashes, 40 at most")
    _check_root(file.root, folder)
    image = str(folder / file.root.image) if file.root.image.startswith((".", "/")) else file.root.image
    environ = file.environ
    return Workload(
        name=name,
        title=file.title,
        root=root_of(
            file.root.packages,
            {place: folder / source for place, source in file.root.files.items()},
            folder / file.root.folder if file.root.folder else None,
            image,
        ),
        command=_command(file.driver.command, environ, ("driver", "command")),
        prepare=tuple(_command(words, environ, ("prepare",)) for words in file.prepare),
        server=_server(file.server, environ) if file.server is not None else None,
        warm_up=(
            _command(file.driver.warm_up, environ, ("driver", "warm_up")) if file.driver.warm_up is not None else None
        ),
        is_driven_from_host=_is_driven_from_host(file),
        numbers=_numbers(file.numbers),
        expect=_pattern(file.driver.expect, ("driver", "expect")) if file.driver.expect else None,
        requests=_requests(file.driver.requests),
        memory_bytes=_bytes(file.needs.memory),
        cpus=file.needs.cpus,
        packages=tuple(file.root.packages),
    )


def _check_root(root: RootTable, folder: Path) -> None:
    """Raise `_Wrong` if no root file system can be made of this."""
    if not (root.packages or root.files or root.folder or root.image):
        raise _Wrong(("root",), "the root file system is empty: name packages, an image, files or a folder")
    if root.packages and root.image:
        raise _Wrong(("root", "image"), "the root file system is made of packages or of an image, not of both")
    for package in root.packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package):
            raise _Wrong(("root", "packages"), f"{package!r} is not a package's name")
    for place, source in root.files.items():
        if not place.startswith("/") or ".." in place.split("/"):
            raise _Wrong(("root", "files", place), f"{place!r} is not an absolute path")
        if not (folder / source).exists():
            raise _Wrong(("root", "files", place), f"there is no {folder / source}")
    if root.folder and not (folder / root.folder).is_dir():
        raise _Wrong(("root", "folder"), f"there is no folder {folder / root.folder}")


def _command(words: str | list[str], environ: dict[str, str], keys: tuple[str, ...]) -> Command:
    found = ("/bin/sh", "-c", words) if isinstance(words, str) else tuple(words)
    if not words or not found or any("\0" in word for word in found):
        raise _Wrong(keys, "the command has no words, or a zero byte in one")
    return Command(found, environ)


def _server(table: ServerTable, environ: dict[str, str]) -> Server:
    ready, keys = table.ready, ("server", "ready")
    if sum(sign is not None for sign in (ready.port, ready.line, ready.command)) != 1:
        raise _Wrong(keys, "the server is ready by one of port, line and command")
    asked = _command(ready.command, environ, keys) if ready.command is not None else None
    return Server(_command(table.command, environ, ("server", "command")), ready.port or 0, ready.line or "", asked)


def _is_driven_from_host(file: WorkloadFile) -> bool:
    """Whether the driver is on the host. Raises `_Wrong` if it could not reach the server from there."""
    if file.driver.where == "instance":
        return False
    keys = ("driver", "where")
    if file.server is None or file.server.ready.port is None:
        raise _Wrong(keys, "a driver on the host needs a server that is ready by its port")
    command = file.server.command
    if "PORT" not in (command if isinstance(command, str) else " ".join(command)):
        raise _Wrong(keys, "a driver on the host needs a server that listens at $PORT, which the environment chooses")
    return True


def _numbers(tables: Sequence[NumberTable]) -> tuple[Number, ...]:
    found: dict[str, Number] = {}
    for index, table in enumerate(tables):
        keys = ("numbers", index)
        if table.name in found or table.name in TAKEN:
            raise _Wrong((*keys, "name"), f"another number is called {table.name!r}")
        if bool(table.pattern) == bool(table.json):
            raise _Wrong(keys, f"{table.name} is found by one of pattern and json")
        pattern = _pattern(table.pattern, (*keys, "pattern"), groups=1) if table.pattern else None
        unit, factor = _UNITS[table.unit]
        is_rate = table.unit == "per second"
        path = tuple(table.json.split(".")) if table.json else ()
        found[table.name] = Number(table.name, unit, table.meaning, pattern, path, factor, is_rate)
    return tuple(found.values())


def _requests(given: int | str) -> int | re.Pattern[str] | None:
    keys = ("driver", "requests")
    if isinstance(given, str):
        return _pattern(given, keys, groups=1)
    if given < 0:
        raise _Wrong(keys, f"{given} is not a number of requests")
    return given or None


def _pattern(text: str, keys: Sequence[str | int], groups: int = 0) -> re.Pattern[str]:
    try:
        found = re.compile(text, re.MULTILINE)
    except re.error as error:
        raise _Wrong(keys, f"{text!r} is not a regular expression: {error}") from error
    if found.groups < groups:
        raise _Wrong(keys, f"{text!r} has no group in parentheses, which would be the number")
    return found


def _bytes(size: str) -> int:
    return int(size[:-1]) << {"M": 20, "G": 30}[size[-1]] if size else 0


def _located(message: str) -> _Wrong:
    """msgspec's message in plain words, and the keys of the place that it names (`$.numbers[0].unit`)."""
    reason, _, place = message.partition(" - at ")
    keys: list[str | int] = []
    for key, index in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", place.strip("`")):
        keys += [key] if key else [int(index)] if index.isdigit() else []
    unknown = re.search(r"unknown field `([^`]*)`", reason)
    missing = re.search(r"missing required field `([^`]*)`", reason)
    where = ".".join(str(key) for key in keys if isinstance(key, str))
    if unknown:
        return _Wrong(
            [*keys, unknown[1]], f"{'.'.join(filter(None, (where, unknown[1])))} is not a field of a workload"
        )
    if missing:
        return _Wrong(keys, f"{'.'.join(filter(None, (where, missing[1])))} is missing")
    reason = reason.replace("`", "")
    return _Wrong(keys, f"{where}: {reason[:1].lower()}{reason[1:]}" if where else reason)


def line_of(text: str, keys: Sequence[str | int]) -> int:
    """The line of a key, or of the innermost table that contains it, in TOML with one header or key per line."""
    places: dict[tuple[str | int, ...], int] = {}
    header: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\[\s*([\w.-]+)\s*\]\]", line):
            name = tuple(found[1].split("."))
            header = (*name, sum(place[:-1] == name and isinstance(place[-1], int) for place in places))
        elif found := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            header = tuple(found[1].split("."))
        elif found := re.match(r"\s*((?:[\w-]+|\"[^\"]*\")(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"))*)\s*=", line):
            inner = tuple(one.strip('"') for one in re.findall(r"\"[^\"]*\"|[\w-]+", found[1]))
            places.setdefault((*header, *inner), number)
            continue
        else:
            continue
        places.setdefault(header, number)
    for length in range(len(keys), 0, -1):
        wanted = tuple(keys[:length])
        inside = (number for place, number in places.items() if place[:length] == wanted)
        if found_at := places.get(wanted) or next(inside, 0):
            return found_at
    return 1
