"""The runs of a results folder as a history: one row of small numbers a run, kept in an index that may be deleted.

The index (SQLite, in the results folder) holds nothing that the run folders do not say; a run that changed on disk is
read again, one that is gone is dropped. A folder that cannot be read is a problem with its reason, and the rest works.
"""

from __future__ import annotations

import gc
import math
import sqlite3
from contextlib import closing, contextmanager
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bench.errors import StoreError
from bench.model import CONTROL_SUFFIX
from bench.store import FILES, SESSION, SUITE, find_runs, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.store import Run

INDEX = ".isobench-index.sqlite"
_VERSION = 1
"""Of the index; another version is thrown away and made anew."""


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One cost of one night."""

    scenario: str
    metric: str
    environment: str
    value: float
    """Median over the blocks, seconds or bytes."""
    ratio: float
    """Median over the blocks of the ratio to that night's own baseline; NaN for the baseline, without one, and where a
    value is zero or less."""


class Night(msgspec.Struct, frozen=True, array_like=True):
    """One run, as small as a trend wants it."""

    path: str
    """Relative to the results folder."""
    run_id: str
    host_id: str
    started: str
    baseline: str
    fingerprint: dict[str, str]
    points: list[Point]


class History(NamedTuple):
    """All readable runs, oldest first, and one line for each that is not."""

    nights: list[Night]
    problems: list[str]


def read(results: Path) -> History:
    """The history of a results folder; makes or renews its index. A folder that cannot be written works, slower."""
    found = {str(path.relative_to(results)): path for path in find_runs(results) if path != results}
    index, known = _open(results)
    with closing(index):
        nights: list[Night] = []
        problems = [f"{path}: {SESSION} is missing" for path in _without_record(results)]
        fresh = []
        for name, path in found.items():
            signature = _signature(path)
            row = known.get(name)
            if row is None or row[0] != signature:
                with _without_collection():
                    row = (signature, *_digest(name, path))
                fresh.append((name, *row))
            if row[2]:
                problems.append(row[2])
            else:
                nights.append(_DECODER.decode(row[1]))
        _save(index, fresh, [name for name in known if name not in found])
    return _ordered(nights, problems)


def _ordered(nights: list[Night], problems: list[str]) -> History:
    """By start; of two runs of one host with one start the first counts."""
    nights.sort(key=lambda night: (night.started, night.path))
    kept: dict[tuple[str, str], Night] = {}
    for night in nights:
        first = kept.setdefault((night.host_id, night.started), night)
        if first is not night:
            problems.append(f"{night.path}: started at the same second as {first.path}; left out")
    return History(list(kept.values()), sorted(problems))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Reading a run makes tens of thousands of objects and no cycles: looking for those takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _without_record(results: Path) -> list[Path]:
    """Folders with samples that nobody knows the circumstances of."""
    folders = sorted(file.parent for file in results.glob(f"*/*/{SUITE}"))
    return [folder.relative_to(results) for folder in folders if not (folder / SESSION).is_file()]


def _digest(name: str, path: Path) -> tuple[bytes, str]:
    """A run as the index keeps it, or nothing and the reason."""
    try:
        run = load(path)
        _check_clock(run, name)
        return _ENCODER.encode(_night(name, run)), ""
    except StoreError as error:
        return b"", error.reason


def _check_clock(run: Run, name: str) -> None:
    session = run.session
    if session.finished and session.finished < session.started:
        raise StoreError(f"{name}: the clock went backwards: finished {session.finished}, started {session.started}")
    starts = [block.started for block in session.blocks]
    if starts != sorted(starts):
        raise StoreError(f"{name}: the clock went backwards between two blocks")


def _night(name: str, run: Run) -> Night:
    session = run.session
    marked = {block.index for block in session.blocks if block.marks}
    usable = {
        (s.scenario, s.metric, s.environment): {
            block: value for block, value in zip(s.blocks, s.values, strict=True) if block not in marked
        }
        for s in run.series
        if not s.environment.endswith(CONTROL_SUFFIX)
    }
    points = []
    for (scenario, metric, environment), values in usable.items():
        if not values:
            continue
        base = usable.get((scenario, metric, session.baseline), {}) if environment != session.baseline else {}
        pairs = [(value, base[block]) for block, value in values.items() if block in base]
        positive = pairs and all(min(pair) > 0 for pair in pairs)
        ratio = math.exp(median(math.log(value / other) for value, other in pairs)) if positive else math.nan
        points.append(Point(scenario, metric, environment, median(values.values()), ratio))
    return Night(name, session.run_id, session.host_id, session.started, session.baseline, session.fingerprint, points)


def _signature(path: Path) -> str:
    """Changes when a file of the run does."""
    parts = []
    for name in FILES:
        try:
            status = (path / name).stat()
            parts.append(f"{status.st_mtime_ns}:{status.st_size}")
        except OSError:
            parts.append("none")
    return "/".join(parts)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Night)
_CREATE = "CREATE TABLE IF NOT EXISTS runs (name TEXT PRIMARY KEY, signature TEXT, night BLOB, problem TEXT)"


def _open(results: Path) -> tuple[sqlite3.Connection, dict[str, tuple[str, bytes, str]]]:
    """The index and what it knows. One that is damaged, or of another version, is begun anew."""
    file = results / INDEX
    for attempt in (1, 2):
        connection = None
        try:
            connection = sqlite3.connect(file, timeout=30)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError("another version")
            connection.execute(_CREATE)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            rows = connection.execute("SELECT name, signature, night, problem FROM runs").fetchall()
            return connection, {row[0]: (row[1], row[2], row[3]) for row in rows}
        except sqlite3.DatabaseError:
            if connection is not None:
                connection.close()
            if attempt == 1 and file.is_file():
                try:
                    file.unlink()
                    continue
                except OSError:
                    pass
            break
    memory = sqlite3.connect(":memory:")
    memory.execute(_CREATE)
    return memory, {}


def _save(index: sqlite3.Connection, fresh: list[tuple[str, str, bytes, str]], gone: list[str]) -> None:
    """Two trends at once write the same rows; where the folder cannot be written the next one reads again."""
    try:
        with index:
            index.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", fresh)
            index.executemany("DELETE FROM runs WHERE name = ?", [(name,) for name in gone])
    except sqlite3.OperationalError:
        pass


_TOLD = "CREATE TABLE IF NOT EXISTS told (host TEXT PRIMARY KEY, newest TEXT, before TEXT)"


def told_before(results: Path, history: History) -> dict[str, str]:
    """By host the newest night that an earlier trend knew, so that each change is news until the next night is there.

    Takes note of the newest nights of `history`. A host that was never asked about is left out.
    """
    newest = {night.host_id: night.started for night in history.nights}
    index, _ = _open(results)
    with closing(index):
        try:
            with index:
                index.execute(_TOLD)
                rows = {row[0]: (row[1], row[2]) for row in index.execute("SELECT host, newest, before FROM told")}
                for host, start in newest.items():
                    known, before = rows.get(host, ("", ""))
                    if start > known:
                        before = known
                    rows[host] = (max(start, known), before)
                index.executemany("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", [(h, *r) for h, r in rows.items()])
        except sqlite3.OperationalError:
            return {}
    return {host: before for host, (_, before) in rows.items() if before}
