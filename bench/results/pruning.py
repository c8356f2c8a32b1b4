"""Removing the values of a run: its record keeps what remains of each cost, and its suite goes.

First the record is replaced atomically by one that says that the values are gone; only then is the suite removed. So a
crash leaves either a whole run, or a pruned one with a suite that is never read and that `remove_suite` removes.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from isobench.core.errors import StoreError
from isobench.core.remedies import mends
from isobench.filesystem.ownership import folder
from isobench.results import journal
from isobench.results.store import SESSION, SUITE, write_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.results.record import PrunedRecord, Session


def pruned(session: Session, remains: PrunedRecord) -> Session:
    """The record of a run without its values. Its blocks keep their times and marks, and lose their cells."""
    blocks = [msgspec.structs.replace(block, cells=[]) for block in session.blocks]
    return msgspec.structs.replace(session, blocks=blocks, warmups={}, not_in_suite=[], pruned=remains)


def check(path: Path) -> None:
    """Raise `StoreError` if the run in this folder must not be pruned: it is still being measured, is not this user's,
    or is reached through links, so that its files may be anywhere."""
    with _errors(path), folder(path.parent), folder(path) as place:
        if journal.NAME in os.listdir(place):
            raise StoreError(f"{path} is still being measured, or belongs to another user")
        for name in (SESSION, SUITE):
            with suppress(FileNotFoundError):
                if not stat.S_ISREG(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
                    raise StoreError(f"{path / name} is not a regular file")


def prune(path: Path, session: Session, remains: PrunedRecord) -> None:
    """Remove the values of a run, whose record `session` is. Raises `StoreError`; the run is then as before, or its
    suite alone remains."""
    check(path)
    with _errors(path):
        write_record(path, pruned(session, remains))
    remove_suite(path)


def remove_suite(path: Path) -> None:
    """Remove the suite of a pruned run. Raises `StoreError`."""
    check(path)
    with _errors(path), folder(path) as place, suppress(FileNotFoundError):
        os.unlink(SUITE, dir_fd=place)


def size(path: Path) -> int:
    """Bytes of a run's record and suite."""
    found = 0
    for name in (SESSION, SUITE):
        with suppress(OSError):
            found += (path / name).stat().st_size
    return found


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot prune {path}: {error.strerror}", remedy=mends(error, "--results")) from error
