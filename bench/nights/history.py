"""The runs of a results folder as a history: one small row per run, kept in an index that may be deleted.

The index (SQLite, in the results folder) contains nothing that is not in the run folders. A run that changed on disk,
or whose row is implausible, is read again; one that is gone is dropped. A folder that cannot be read is reported with
the reason, and the rest works. What a trend reported is stored in the runs' own folders.
"""

from __future__ import annotations

import gc
import math
import os
import sqlite3
import stat
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from operator import truediv
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from isobench.core.errors import StoreError
from isobench.core.model import CONTROL_SUFFIX
from isobench.estimation.paired import FEWEST_PAIRS, outside_median
from isobench.filesystem.files import read_regular
from isobench.host.reasons import as_text
from isobench.nights.trend import Seen, Told, by_machine
from isobench.results.record import machine
from isobench.results.store import FILES, SESSION, SUITE, find_runs, load, write_atomically
from isobench.results.suite import named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.nights.trend import Trend
    from isobench.results.record import CostRecord
    from isobench.results.store import Run, Series

INDEX = ".isobench-index.sqlite"
_VERSION = 5
"""Version of the index; one of another version is rebuilt."""
_MOST_BYTES = 1 << 30
TOLD = "told.json"
"""In the folder of a run: what a trend reported when this run was its machine's newest. It is moved and deleted with
the run."""
_MOST_NOTED = 1 << 20
"""The most bytes of it that are read."""


class Point(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One cost of one night."""

    scenario: str
    metric: str
    environment: str
    value: float
    """Median over the blocks, seconds or bytes."""
    ratio: float
    """Median over the blocks of the ratio to that night's own baseline; NaN for the baseline itself, without a
    baseline, and if a value is zero or less."""
    unit: str = "second"
    low: float = math.nan
    high: float = math.nan
    """95 % interval of the ratio, or of the value if there is no ratio, from this run's blocks only
    (`paired.outside_median`); NaN for fewer than six."""


class Night(msgspec.Struct, frozen=True, array_like=True):
    """One run, reduced to what a trend needs."""

    path: str
    """Relative to the results folder."""
    run_id: str
    host_id: str
    started: str
    baseline: str
    fingerprint: dict[str, str]
    points: list[Point]
    label: str = ""
    profile: str = ""
    blocks: int = 0
    """Measured after the warm-up."""
    used: int = 0
    """Those of them that are not excluded."""
    pruned: str = ""
    """When its values were removed (`isobench prune`); empty if it has them."""

    @property
    def machine(self) -> str:
        """The machine of this night (`record.machine`)."""
        return machine(self.host_id, self.fingerprint)


class History(NamedTuple):
    """All readable runs, oldest first, and one line for each that is not."""

    nights: list[Night]
    problems: list[str]


def read(results: Path, now: str = "") -> History:
    """The history of a results folder; creates or updates its index. A read-only folder works, but slower.

    Runs that began later than `now` (UTC, as in a record; by default tomorrow at this time) are left out: a clock was
    wrong.
    """
    found = {as_text(str(path.relative_to(results))): path for path in find_runs(results) if path != results}
    index, known = _open(results)
    with closing(index):
        nights: list[Night] = []
        problems = [as_text(f"{path}: {SESSION} is missing") for path in _without_record(results)]
        fresh, costs = [], _Costs()
        for name, path in found.items():
            state = signature(path)
            known_as = _known(name, known[name], costs) if known.get(name, ("",))[0] == state else None
            if known_as is None:
                with _without_collection():
                    known_as = _digest(name, path)
                night, problem = known_as
                fresh.append((name, state, _encoded(night) if night is not None else b"", problem))
            night, problem = known_as
            if night is None:
                problems.append(problem)
            else:
                nights.append(night)
        _save(index, results, fresh, [name for name in known if name not in found])
    nights = _ordered(nights, problems)
    return History(_present(nights, problems, now or _tomorrow()), sorted(problems))


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """A night in the index. Nearly all nights have the same costs, so these are stored separately from the numbers."""

    night: Night
    """Without its points."""
    costs: bytes
    """A list of scenario, metric, environment and unit."""
    numbers: bytes
    """The values of all points, then their ratios, lower ends and upper ends."""


_Costs = dict[bytes, list[tuple[str, ...]]]
"""The lists of costs that were decoded, by their bytes."""


def _encoded(night: Night) -> bytes:
    points = night.points
    costs = [(one.scenario, one.metric, one.environment, one.unit) for one in points]
    numbers = [[one.value for one in points], [one.ratio for one in points]]
    numbers += [[one.low for one in points], [one.high for one in points]]
    row = _Row(msgspec.structs.replace(night, points=[]), _ENCODER.encode(costs), np.array(numbers).tobytes())
    return _ENCODER.encode(row)


def _known(name: str, row: tuple[str, bytes, str], costs: _Costs) -> tuple[Night | None, str] | None:
    """A run as the index has it; None if that is implausible: the index is a file like any other."""
    if row[2]:
        return None, row[2]
    try:
        found = _DECODER.decode(row[1])
        if found.costs not in costs:
            costs[found.costs] = list(zip(*_COSTS_DECODER.decode(found.costs), strict=True)) or [()] * 4
        numbers = np.frombuffer(found.numbers).reshape(4, len(costs[found.costs][0]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    ratios = numbers[1]
    usable = np.isfinite(numbers[0]).all() and not (np.isinf(numbers).any() or (ratios <= 0).any())
    if found.night.path != name or not usable:
        return None
    (scenarios, metrics, environments, units), (values, *rest) = costs[found.costs], numbers.tolist()
    found.night.points[:] = map(Point, scenarios, metrics, environments, values, rest[0], units, *rest[1:])
    return found.night, ""


def _tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _present(nights: list[Night], problems: list[str], now: str) -> list[Night]:
    """Without runs that are dated in the future. If most are, this host's clock is wrong, and they stay."""
    late = [night for night in nights if night.started > now]
    if 2 * len(late) > len(nights):
        problems.append(f"{len(late)} runs began later than now: this host's clock is behind")
        return nights
    problems += [
        f"{night.path}: began in the future ({night.started}), so it does not count until then" for night in late
    ]
    return [night for night in nights if night.started <= now]


def _ordered(nights: list[Night], problems: list[str]) -> list[Night]:
    """Ordered by start; of two runs of one machine with the same start, the first counts."""
    nights.sort(key=lambda night: (night.started, night.path))
    kept: dict[tuple[str, str], Night] = {}
    for night in nights:
        first = kept.setdefault((night.machine, night.started), night)
        if first is not night:
            problems.append(f"{night.path}: started in the same second as {first.path}, which counts instead")
    return list(kept.values())


@contextmanager
def _without_collection() -> Iterator[None]:
    """Reading a run creates tens of thousands of objects and no cycles: garbage collection would take a third of the
    time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _without_record(results: Path) -> list[Path]:
    """Folders with samples but without a record."""
    folders = sorted(file.parent for file in results.glob(f"*/*/{SUITE}"))
    return [folder.relative_to(results) for folder in folders if not (folder / SESSION).is_file()]


def _digest(name: str, path: Path) -> tuple[Night | None, str]:
    """A run as the index stores it, or None and the reason."""
    try:
        run = load(path)
        _check_clock(run, name)
        return _night(name, run), ""
    except StoreError as error:
        return None, as_text(error.reason)


def _check_clock(run: Run, name: str) -> None:
    session = run.session
    if session.finished and session.finished < session.started:
        raise StoreError(f"{name}: the clock went backwards: finished {session.finished}, started {session.started}")
    starts = [block.started for block in session.blocks]
    if starts != sorted(starts):
        raise StoreError(f"{name}: the clock went backwards between two blocks")


def _night(name: str, run: Run) -> Night:
    session = run.session
    return Night(
        name, session.run_id, session.host_id, session.started, session.baseline, session.fingerprint, points(run),
        session.label, session.profile, sum(block.index > 0 for block in session.blocks), session.blocks_used,
        session.pruned.at if session.pruned is not None else "",
    )  # fmt: skip


def points(run: Run) -> list[Point]:
    """Every cost of a run except the control's, in the order of the record."""
    session = run.session
    if session.pruned is not None:
        return [_kept(cost) for cost in session.pruned.costs if not cost.name.endswith(CONTROL_SUFFIX)]
    marked = {block.index for block in session.blocks if block.marks}
    usable = {
        (s.scenario, s.metric, s.environment): _without(s, marked) if marked else s
        for s in run.series
        if not s.environment.endswith(CONTROL_SUFFIX)
    }
    found = []
    for (scenario, metric, environment), one in usable.items():
        if not one.values:
            continue
        base = usable.get((scenario, metric, session.baseline))
        comparable = base is not None and environment != session.baseline and one.unit == base.unit
        value, low, high = _middle(sorted(one.values))
        ratio = math.nan
        if base is not None and comparable:
            ratio, *ends = _ratio(one, base)
            low, high = (low, high) if math.isnan(ratio) else ends
        found.append(Point(scenario, metric, environment, value, ratio, one.unit, low, high))
    return found


def _kept(cost: CostRecord) -> Point:
    one = named(cost.name, cost.unit)
    value, *rest = cost.night
    ratio, low, high = (math.nan if number is None else number for number in rest)
    return Point(one.scenario, one.metric, one.environment, value, ratio, one.unit, low, high)


def _without(series: Series, marked: set[int]) -> Series:
    kept = [(block, value) for block, value in zip(series.blocks, series.values, strict=True) if block not in marked]
    return series._replace(blocks=[block for block, _ in kept], values=[value for _, value in kept])


def _ratio(one: Series, base: Series) -> tuple[float, float, float]:
    """The median of the blocks' ratios, and its interval; NaN if a block has no ratio."""
    ours, theirs = one.values, base.values
    if one.blocks != base.blocks:
        known = dict(zip(base.blocks, base.values, strict=True))
        shared = [(value, known[block]) for block, value in zip(one.blocks, one.values, strict=True) if block in known]
        ours, theirs = [mine for mine, _ in shared], [other for _, other in shared]
    if not ours or min(ours) <= 0 or min(theirs) <= 0:
        return math.nan, math.nan, math.nan
    order = sorted(map(truediv, ours, theirs))
    if not 1e-300 < order[(len(order) - 1) // 2] <= order[len(order) // 2] < 1e300:
        return math.nan, math.nan, math.nan
    _, low, high = _middle(order)
    return math.sqrt(order[(len(order) - 1) // 2]) * math.sqrt(order[len(order) // 2]), low, high


def _middle(order: list[float]) -> tuple[float, float, float]:
    """The median of sorted numbers, and its interval."""
    n = len(order)
    middle = order[n // 2] if n % 2 else (order[n // 2 - 1] + order[n // 2]) / 2
    if n < FEWEST_PAIRS:
        return middle, math.nan, math.nan
    outside = outside_median(n)
    return middle, order[outside], order[n - 1 - outside]


def signature(path: Path) -> str:
    """A signature that changes when a file of the run does, even if its size and modification time were restored."""
    parts = []
    for name in FILES:
        try:
            status = (path / name).stat()
            parts.append(f"{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}:{status.st_size}")
        except OSError:
            parts.append("none")
    return "/".join(parts)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Row)
_COSTS_DECODER = msgspec.msgpack.Decoder(list[tuple[str, str, str, str]])
_CREATE = "CREATE TABLE IF NOT EXISTS runs (name TEXT PRIMARY KEY, signature TEXT, night BLOB, problem TEXT)"


def _open(results: Path) -> tuple[sqlite3.Connection, dict[str, tuple[str, bytes, str]]]:
    """The index, in memory, and its rows. A damaged one, or one of another version, is rebuilt; one that is not a file
    of this user's is not read.

    SQLite never opens the file itself: it would follow a link that somebody put there after the check, replay a journal
    next to it, and wait for locks that a network file system does not have.
    """
    file = results / INDEX
    index = sqlite3.connect(":memory:")
    with suppress(OSError, sqlite3.Error):
        if _is_ours(file):
            index.deserialize(read_regular(file, _MOST_BYTES, follow=False))
            return index, _rows(index)
    index.close()
    index = sqlite3.connect(":memory:")
    return index, _rows(index)


def _rows(connection: sqlite3.Connection) -> dict[str, tuple[str, bytes, str]]:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError("another version")
    connection.execute(_CREATE)
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    rows = connection.execute("SELECT name, signature, night, problem FROM runs").fetchall()
    kinds = (str, str, bytes, str)
    whole = [row for row in rows if all(isinstance(one, kind) for one, kind in zip(row, kinds, strict=True))]
    return {row[0]: (row[1], row[2], row[3]) for row in whole}


def _is_ours(file: Path) -> bool:
    """Whether this is a regular file of this user's, or does not exist yet."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _save(index: sqlite3.Connection, results: Path, fresh: list[tuple[str, str, bytes, str]], gone: list[str]) -> None:
    """Write the index. Of two trends at the same time the later one's stays; if the folder cannot be written, the next
    one reads the runs again. A file that is not this user's stays in its place."""
    if not (fresh or gone):
        return
    with suppress(OSError, sqlite3.Error):
        index.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", fresh)
        index.executemany("DELETE FROM runs WHERE name = ?", [(name,) for name in gone])
        index.commit()
        if _is_ours(results / INDEX):
            write_atomically(results / INDEX, index.serialize())


def seen(results: Path, history: History) -> dict[str, Seen]:
    """For each machine what trends reported before its newest night, so that a change stays new until the next night.

    It is stored in the folders of the runs, so it is copied, moved, merged and deleted with them, and separate for each
    machine. A machine without an earlier trend is left out.
    """
    found: dict[str, Seen] = {}
    for name, nights in by_machine(history.nights).items():
        notes = [(night.started, note) for night in nights[:-1] if (note := _note(results / night.path)) is not None]
        if notes:
            found[name] = Seen(notes[-1][0], [told for _, note in notes for told in note])
    return found


def take_note(results: Path, history: History, trend: Trend, only: str = "") -> None:
    """Store what this trend reported, for one machine or for all. If a folder cannot be written, nothing is stored, and
    what the newest night confirmed is reported as new again."""
    for name, nights in by_machine(history.nights).items():
        if only in ("", name):
            news = [alert for alert in trend.alerts if alert.news and alert.machine == name]
            note = [Told(alert.kind, alert.what, alert.near, alert.state == "recovered") for alert in news]
            with suppress(OSError):
                write_atomically(results / nights[-1].path / TOLD, msgspec.json.encode(note))


def _note(folder: Path) -> list[Told] | None:
    """What was reported with this run; None if there is no valid note."""
    try:
        return _NOTE_DECODER.decode(read_regular(folder / TOLD, _MOST_NOTED))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_NOTE_DECODER = msgspec.json.Decoder(list[Told])
