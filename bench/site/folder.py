"""The folder of a site: marked, so that nothing else is overwritten, and updated only where something changed.

The mark records the inputs of each machine's pages. Before pages are rewritten, their machines are removed from the
mark, so that the next build repeats what a killed one left unfinished.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from isobench.core.errors import UsageError
from isobench.core.remedies import mends
from isobench.filesystem.files import read_regular
from isobench.results.store import write_atomically
from isobench.site.summary import HOSTS, Summary

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

MARK = ".isobench-site.json"
_LARGEST = 1 << 28
_NUMBERS = re.compile(r"runs(-[0-9]+)?\.js")


class Made(msgspec.Struct, frozen=True):
    """The record of one machine's pages."""

    inputs: str
    """A digest of everything that they depend on."""
    summary: Summary
    pages: dict[str, tuple[int, int]]
    """The size and the modification time (ns) of each, by name."""


class _Mark(msgspec.Struct):
    site: str = "isobench made the pages of this folder, and writes over them"
    machines: dict[str, Made] = {}
    """By folder."""


class Folder:
    """The folder of one build."""

    def __init__(self, path: Path) -> None:
        """Raises `UsageError` if it contains something other than a site, or cannot be written."""
        self.path = path
        self.written = 0
        """New and changed pages and files."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.machines = self._read()
            self._keep()
        except OSError as error:
            raise _cannot_write(path, error) from error

    def still(self, machine: str, inputs: str) -> Made | None:
        """The record of a machine's pages, if their inputs are the same and they still exist."""
        made = self.machines.get(machine)
        if made is None or made.inputs != inputs:
            return None
        place = self.path / HOSTS / machine
        moved = place.is_symlink() or place.parent.is_symlink()
        return made if not moved and made.pages == _states(place, made.pages) else None

    def begin(self, kept: Collection[str], wanted: Collection[str]) -> None:
        """Remove all machines but the kept ones from the mark, and the pages of machines that are not wanted."""
        self.machines = {name: made for name, made in self.machines.items() if name in kept}
        try:
            self._keep()
            self._sweep(wanted)
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def put(self, machine: str, inputs: str, summary: Summary, pages: Mapping[str, str]) -> None:
        """Write a machine's pages, and remove its obsolete ones."""
        place = self.path / HOSTS / machine
        try:
            _real_folder(self.path / HOSTS)
            _real_folder(place)
            for name, text in pages.items():
                self._write(place / name, text)
            for old in _pages_in(place) - pages.keys():
                (place / old).unlink()
            self.machines[machine] = Made(inputs, summary, _states(place, pages))
        except OSError as error:
            raise _cannot_write(place, error) from error

    def finish(self, files: Mapping[str, str]) -> None:
        """Write the top-level files, and the mark."""
        try:
            for name, text in files.items():
                self._write(self.path / name, text)
            self._keep()
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def _write(self, target: Path, text: str) -> None:
        data = text.encode(errors="backslashreplace")
        with suppress(OSError):
            if read_regular(target, _LARGEST, follow=False) == data:
                return
        write_atomically(target, data)
        self.written += 1

    def _read(self) -> dict[str, Made]:
        """The records in the mark; empty if it cannot be read, as after an upgrade. Raises `UsageError` without a
        mark."""
        try:
            text = read_regular(self.path / MARK, _LARGEST, follow=False)
        except FileNotFoundError:
            if any(self.path.iterdir()):
                reason = f"{self.path} is not empty, and is not a site of isobench"
                raise UsageError(reason, remedy="choose another --out, or remove it") from None
            return {}
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(text, type=_Mark).machines
        return {}

    def _keep(self) -> None:
        write_atomically(self.path / MARK, msgspec.json.encode(_Mark(machines=self.machines)))

    def _sweep(self, wanted: Collection[str]) -> None:
        """Remove the pages of machines that are not wanted; other files stay."""
        hosts = self.path / HOSTS
        for place in sorted(hosts.iterdir()) if hosts.is_dir() and not hosts.is_symlink() else []:
            if place.name in wanted or place.is_symlink() or not place.is_dir():
                continue
            for name in _pages_in(place):
                (place / name).unlink()
            with suppress(OSError):
                place.rmdir()


def _pages_in(place: Path) -> set[str]:
    """A machine's files: its pages, and the numbers of its runs."""
    return {name for name in os.listdir(place) if name.endswith(".html") or _NUMBERS.fullmatch(name)}


def _states(place: Path, names: Collection[str]) -> dict[str, tuple[int, int]]:
    """The state of each page that exists as a regular file."""
    found = {}
    for name in names:
        with suppress(OSError, ValueError):  # a name from the mark may be anything
            state = (place / name).lstat()
            found[name] = (state.st_size, state.st_mtime_ns)
    return found


def _real_folder(path: Path) -> None:
    """Create a folder, replacing a link that somebody put there."""
    if path.is_symlink():
        path.unlink()
    path.mkdir(exist_ok=True)


def _cannot_write(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write the site to {path}: {error.strerror}", remedy=mends(error, "--out"))
