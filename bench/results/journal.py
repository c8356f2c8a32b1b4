"""The journal of an unfinished run: one line per block, appended and synced, so that a block costs only its own size.

The journal has what is not yet in the record and the suite. At the end of a run they are made from it, and it is
removed; if a run was killed, the next reader does that (`isobench.results.store.load`). The writer holds a lock on it,
so that a reader can distinguish a live run from a dead one.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from isobench.filesystem.files import atomic_write, sync, try_lock
from isobench.results.record import BlockRecord, FailureRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAME = "journal.jsonl"


class Sample(NamedTuple):
    """One value of one metric from one fresh instance, in seconds or bytes. `environment` may end in CONTROL_SUFFIX."""

    block: int
    environment: str
    scenario: str
    metric: str
    value: float


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line: a finished block with its values and failures, or fields of the record that changed."""

    block: BlockRecord | None = None
    samples: list[tuple[str, str, str, float]] = []
    """Environment, scenario, metric, value."""
    failures: list[FailureRecord] = []
    changes: dict[str, Any] = {}


class Journal:
    """The writer. Raises `OSError`; the line that could not be written is then removed again."""

    def __init__(self, folder: Path, before: Iterable[Entry] = ()) -> None:
        """A new journal, for a resumed run with its content `before`. Created atomically, since a journal is
        authoritative as soon as it exists."""
        self._path = folder / NAME
        first = [msgspec.json.encode(one) + b"\n" for one in before]
        if first:
            self._file = open(_placed(folder / NAME, first), "r+b", buffering=0)  # noqa: SIM115 (as long as the run lives)
            self._file.seek(0, os.SEEK_END)
            return
        self._file = open(folder / NAME, "xb", buffering=0)  # noqa: SIM115 (open, and locked, as long as the run lives)
        with suppress(OSError):  # a file system without locks: no reader will consider the run dead
            try_lock(self._file.fileno())

    def append(self, entry: Entry) -> None:
        """Append a whole line or nothing, even if interrupted.

        Raises `FileNotFoundError` if the journal was removed or moved: further blocks would be lost with it.
        """
        if not self._is_in_place():
            raise FileNotFoundError(errno.ENOENT, "its folder has been removed or moved, with these blocks")
        line, self._before = msgspec.json.encode(entry) + b"\n", self._file.tell()
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except BaseException:  # a full disk, or Ctrl-C during the write
            self._remove_last()
            raise

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def sync(self) -> None:
        """Sync the line to the disk. That takes seconds if others write much; an interruption keeps the line."""
        try:
            sync(self._file.fileno())
        except OSError:  # a disk may say only now that it is full
            self._remove_last()
            raise

    def _remove_last(self) -> None:
        with suppress(OSError):
            self._file.truncate(self._before)
            self._file.seek(self._before)

    def close(self) -> None:
        self._file.close()


def _placed(file: Path, lines: list[bytes]) -> int:
    try:
        return atomic_write(file, lines, lock=True)
    except OSError:  # a file system without locks, or not writable: then this fails, too
        return atomic_write(file, lines)


def entry(block: BlockRecord, samples: Iterable[Sample], failures: Iterable[FailureRecord]) -> Entry:
    """The line of a block."""
    return Entry(block, [(s.environment, s.scenario, s.metric, s.value) for s in samples], list(failures))


class Replay(NamedTuple):
    """The content of a journal. `torn`: its last line was cut off, and is dropped."""

    entries: list[Entry]
    torn: bool


def parse(text: bytes) -> Replay:
    """Parse a journal. Raises `ValueError` naming a damaged line, unless it is the last."""
    *lines, rest = text.split(b"\n")
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_DECODER.decode(line))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:  # a ValueError since msgspec 0.21
            if number == len(lines) and not rest:  # its end reached the disk, but its middle did not
                return Replay(entries, torn=True)
            raise ValueError(f"line {number} is damaged: {error}") from error
    return Replay(entries, torn=bool(rest))


def take_over(folder: Path) -> int | None:
    """Lock the journal of a dead run, for the reader that finishes it; returns the descriptor, to be closed.

    None if its writer is or may be alive, or if the run belongs to another user.
    """
    try:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.geteuid() or folder.stat().st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "another user's run")
        if try_lock(descriptor):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


_DECODER = msgspec.json.Decoder(Entry)
