"""Commands in a root file system, step by step (the probe's verb `run`, bench/probe/run.c), for scenarios that need a
Debian program in addition to the probe."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from isobench.contracts.answers import blame_memory, first_answer, next_answer, text, whole
from isobench.contracts.capabilities import Lack
from isobench.core import deadlines
from isobench.core.errors import IsobenchError, MeasurementError
from isobench.images.archive import archive_of
from isobench.images.debian import debian_tree
from isobench.processes.programs import telling_line

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.environment import Instance

STOP = ("as=stop", "--")
"""The step that ends a server."""
_READY_SECONDS = 60.0


@cache
def made(packages: tuple[str, ...], without: tuple[str, ...] = ()) -> Path | IsobenchError:
    """The archive of a root file system with these Debian packages, without some of their files; or why there is
    none."""
    try:
        return archive_of({}, {}, debian_tree(packages, without))
    except IsobenchError as error:
        return error


def lack(found: Path | IsobenchError) -> Lack | None:
    """Why it could not be made."""
    return Lack(found.reason, found.remedy) if isinstance(found, IsobenchError) else None


def archive(found: Path | IsobenchError) -> Path:
    """The archive, if it could be made. Raises `IsobenchError`."""
    if isinstance(found, IsobenchError):
        raise found
    return found


def step(words: tuple[str, ...], *options: str) -> list[str]:
    """A command that is run once, in a folder that is fresh for each instance."""
    return [*options, "cwd=/data", "env=PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"words={len(words)}", "--", *words]


def server(words: tuple[str, ...], line: str, *options: str) -> list[str]:
    """A command that keeps running, and is ready once its output contains this text."""
    return step(words, "as=server", f"within={deadlines.stretched(_READY_SECONDS):.0f}", f"line={line}", *options)


def do(instance: Instance, who: str, fails: str, *, first: bool = False) -> str:
    """Have the probe run its next step; returns the end of its output.

    Raises `MeasurementError` if it failed: with `who` and `fails` as the start of the reason, and the line of its
    output that explains it.
    """
    try:
        with suppress(OSError):  # an instance that has ended says why
            instance.stdin.write(b"\n")
        answer: dict[str, Any] = first_answer(instance.stdout) if first else next_answer(instance.stdout)
        said = text(answer, "output")
        is_wrong = whole(answer, "late") or whole(answer, "status") or whole(answer, "signal")
    except MeasurementError as broken:
        blame_memory(instance, broken)
        raise MeasurementError(f"{who}: {broken.reason}", console=broken.console) from broken
    if is_wrong:  # being stopped is not a failure
        line = telling_line([line.strip() for line in said.splitlines() if line.strip()])
        raise MeasurementError(f"{who} {fails}{f': {line[:200]}' if line else ''}", console=said)
    return said
