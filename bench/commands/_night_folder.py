"""The folder of a night: its files are written as to a pipe, and removed when the next night begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.core import display
from isobench.core.errors import UsageError
from isobench.export.formats import formats
from isobench.layout.page import FILES
from isobench.results import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

OWN = ("doctor.txt", "run.txt", "trend.json", "compare.txt", "summary.md")
"""The files of a night, besides the report's files and the exports."""

MARK = ".isobench-night"
"""Marks a folder whose files are those of a night."""


def forget(folder: Path) -> None:
    """Remove the files of an earlier night, and no others: the folder may contain more.

    Raises `UsageError` if no night was written there and one of these names is taken: that file would be lost.
    """
    names = (*OWN, *FILES.values(), *(f"isobench.{one.suffix}" for one in formats().values()))
    found = [old for old in map(folder.joinpath, names) if old.is_symlink() or (old.exists() and not old.is_dir())]
    mark = folder / MARK
    if found and not mark.exists():
        reason = f"{found[0]} is already there, and no night of isobench is"
        raise UsageError(reason, remedy=f"choose another --folder, or remove it; for a night's folder: touch {mark}")
    write(mark, "A night of isobench: its files here are removed when the next one begins.\n")
    for old in found:
        old.unlink()


def keep(file: Path, words: Sequence[RenderableType], show: bool = True) -> None:
    """Write this to a file, as to a pipe, and with `show` also to standard output."""
    write(file, display.text(*words))
    if show:
        display.tell(*words)


def write(file: Path, text: str) -> None:
    """Write a file, never through a link or into a FIFO: others may be able to write to the folder."""
    store.write_atomically(file, text.encode(errors="backslashreplace"))
