"""What a workload is: a root file system, and the commands that are run in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.images.archive import DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRON: Mapping[str, str] = {"PATH": PATH, "HOME": "/root"}
"""The variables of every command, in every environment: what an engine sets beside these is not passed on."""
MOST_OUTPUT = 64 << 20
"""Bytes that a command may write: one that writes more is taken for one that never stops."""
SHOWN = 2000
"""Bytes of the end of its output that are kept of one that fails."""


class Command(NamedTuple):
    """One command in the root file system."""

    words: tuple[str, ...]
    environ: Mapping[str, str] = ENVIRON
    folder: str = DATA
    """Its working folder."""

    def step(self) -> list[str]:
        """As the probe's verb `run` reads it (bench/probe/run.c)."""
        environ = [f"env={name}={value}" for name, value in self.environ.items()]
        limits = [f"keep={SHOWN}", f"most={MOST_OUTPUT}", f"words={len(self.words)}"]
        return [f"cwd={self.folder}", *environ, *limits, "--", *self.words]


class Workload(NamedTuple):
    """A program to measure. `root` makes the archive of its root file system, or finds it in the cache; it raises an
    `IsobenchError` where this host cannot."""

    name: str
    title: str
    root: Callable[[], Path]
    command: Command
