"""Results on disk: one folder a run, holding `suite.json` (pyperf's format) and `session.json` (the session record).

During a run its blocks are in a journal (`isobench.results.journal`), from which the two files are made at its end, or
by the first reader if the run was killed. Both are written atomically, so a reader never sees a partial file, and a
crash loses at most the unfinished block. Each series is stored whole in one place: in the suite, or, if pyperf cannot
hold it, in the record.
"""

from __future__ import annotations

import os
import re
from array import array
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from isobench.core.errors import StoreError
from isobench.core.remedies import mends
from isobench.filesystem.files import atomic_write, read_regular
from isobench.results import journal
from isobench.results.record import SCHEMA, SeriesRecord, Session
from isobench.results.suite import LAST_BLOCK, Series, benchmark_name, check, decode, encode, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from isobench.results.journal import Sample
    from isobench.results.record import BlockRecord, FailureRecord, PrunedRecord

__all__ = ["Run", "RunWriter", "Series", "benchmark_name", "find_runs", "load", "load_session", "write_atomically"]

SUITE = "suite.json"
SESSION = "session.json"
FILES = (SESSION, SUITE, journal.NAME)
"""The only files of a run's folder."""
_LONGEST = 1e10
"""Seconds: three hundred years."""
_MOST_BYTES = 1 << 29
_MOST_PARTS = 1 << 25
"""Limits of a file's size and number of values, so that no file exhausts the reader's memory."""


class Run(NamedTuple):
    """A run as loaded: its folder, its record and its values."""

    path: Path
    session: Session
    series: list[Series]


class RunWriter:
    """Writes one run's folder, block by block. Owned by the runner."""

    session: Session
    """The record without its blocks, which are only on disk."""

    def __init__(
        self, results: Path, session: Session, units: Mapping[tuple[str, str], str], before: Run | None = None
    ) -> None:
        """Make `results/<host id>/<UTC stamp>/` for this run, or go on in the folder of the run `before`, whose record
        `session` then is. `units` maps (scenario, metric) to its unit.

        Raises `StoreError` when the folder cannot be made or written.
        """
        self.session = msgspec.structs.replace(session, blocks=[], failures=[*session.failures])
        self.blocks = 0
        """How many are on disk, the warm-up block's included."""
        self.left_out = 0
        """How many of them are marked, without the warm-up block."""
        self._units = units
        self._series: dict[str, tuple[Series, array[int], array[float]]] = {}
        self._marked: set[int] = set()
        stamp = session.started.replace(":", "").replace("-", "")
        base = before.path if before else results / session.host_id / stamp
        try:
            self.path = base if before else _fresh_folder(base)
            entries = _entries(before, session) if before else []
            self._journal = journal.Journal(self.path, entries)
            if not before:
                os.close(atomic_write(self.path / SESSION, _session_text(self.session)))
        except OSError as error:
            reason = f"cannot write results to {base}: {error.strerror}"
            raise StoreError(reason, remedy=mends(error, "--out") if before else "choose another --out") from error
        for entry in entries:
            self._count(entry)

    def add_block(self, block: BlockRecord, samples: Iterable[Sample], failures: Iterable[FailureRecord]) -> None:
        """Write one finished block to disk, synced, before the next may start."""
        entry = journal.entry(block, samples, failures)
        try:
            check(_as_series([entry], self._units))
        except ValueError as error:
            raise StoreError(str(error)) from error
        with self._errors():
            self._journal.append(entry)
            try:
                self._journal.sync()
            except KeyboardInterrupt:  # the block is complete: the interruption counts as one between two blocks
                self._add(entry)
                raise
        self._add(entry)

    def _add(self, entry: journal.Entry) -> None:
        self.session.failures.extend(entry.failures)
        self._count(entry)

    def _count(self, entry: journal.Entry) -> None:
        """Keep in memory what the analysis during a run needs of a block."""
        block = entry.block
        if block is None:
            return
        self.blocks += 1
        if block.marks:
            self._marked.add(block.index)
            self.left_out += block.index > 0
        for environment, scenario, metric, value in entry.samples if block.index else ():
            name = benchmark_name(scenario, metric, environment)
            if name not in self._series:
                self._series[name] = (named(name, self._units[scenario, metric]), array("q"), array("d"))
            _, blocks, values = self._series[name]
            blocks.append(block.index)
            values.append(value)

    def amend(self, **changes: object) -> None:
        """Replace fields of the record (the end of the run, a late skip) and write it to disk."""
        self.session = msgspec.structs.replace(self.session, **changes)
        with self._errors():
            self._journal.append(journal.Entry(changes=changes))
            self._journal.sync()

    def finish(self) -> None:
        """Make the suite and the record from the journal. Nothing is written afterwards."""
        try:
            with self._errors():
                run = _replayed(self.path, _read_session(self.path))
                if run is not None:
                    save(run)
        finally:
            self._journal.close()

    @property
    def measured(self) -> bool:
        """Whether there is a value of a measured block."""
        return bool(self._series)

    @property
    def clean_series(self) -> list[Series]:
        """The values for the analysis: everything saved so far except the warm-up and marked blocks."""
        found = []
        for empty, blocks, values in self._series.values():
            kept = [(b, v) for b, v in zip(blocks, values, strict=True) if b not in self._marked]
            found.append(empty._replace(blocks=[b for b, _ in kept], values=[v for _, v in kept]))
        return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"cannot write results to {self.path} (blocks saved: {self.blocks}): {error.strerror}"
            raise StoreError(reason, remedy=mends(error, "--out")) from error


def load(path: Path) -> Run:
    """Load one run folder; where the run was killed, its files are made first. A pruned run has no values.

    Raises `StoreError`, naming the file and what is wrong with it.
    """
    session = _read_session(path)
    lock = journal.take_over(path)
    try:
        run = _replayed(path, session)
        if run is not None and lock is not None:
            with suppress(OSError):  # if the disk is full or not writable, it is read from the journal
                save(run)
    finally:
        if lock is not None:
            os.close(lock)
    return run or _whole(path, session)


def load_session(path: Path) -> Session:
    """Load only the record of a run folder; where the run was killed, its files are made first. Raises `StoreError`."""
    return load(path).session if (path / journal.NAME).exists() else _read_session(path)


def _whole(path: Path, session: Session) -> Run:
    """A run from its two files."""
    if session.pruned is not None:
        with _reading(path / SESSION, "not a session record"):
            _check_remains(session.pruned)
        return Run(path, session, [])
    file, series = path / SUITE, list[Series]()
    with _reading(file, "not a pyperf suite"):
        try:
            series = decode(_bounded(file))
        except FileNotFoundError:
            if not (session.not_in_suite or _gave_nothing(session)):
                raise
        found = check(series)
    with _reading(path / SESSION, "not a session record"):
        beside = [
            named(one.name, one.unit)._replace(blocks=one.blocks, values=one.values, warmups=one.warmups)
            for one in session.not_in_suite
        ]
        return Run(path, session, check([*found, *beside]) if beside else found)


def _replayed(path: Path, session: Session) -> Run | None:
    """A run from its journal and its initial record; None if there is no journal."""
    file = path / journal.NAME
    with _reading(file, "not a journal"):
        try:
            found = journal.parse(_bounded(file))
        except FileNotFoundError:
            return None
        units = {(s.name, m.name): m.unit for s in session.scenarios for m in s.metrics}
        series = check(_as_series(found.entries, units))
        changes = {key: value for entry in found.entries for key, value in entry.changes.items()}
        changes |= {
            "blocks": [entry.block for entry in found.entries if entry.block is not None],
            "failures": [failure for entry in found.entries for failure in entry.failures],
            "warmups": {one.benchmark: one.warmups[0][1] for one in series if not one.values},
            "not_in_suite": [
                SeriesRecord(one.benchmark, one.unit, one.blocks, one.values, one.warmups)
                for one in series
                if one.values and not one.fits_pyperf
            ],
            "torn": found.torn,
            "pruned": None,  # a run that is resumed has all its values in the journal
        }
        fields = {name: getattr(session, name) for name in session.__struct_fields__}
        whole = msgspec.convert(msgspec.to_builtins({**fields, **changes}), Session)
        _check_plain(whole)
        return Run(path, whole, [one for one in series if one.values])


def _entries(run: Run, session: Session) -> list[journal.Entry]:
    """The journal for resuming a run with this record: everything the run has so far."""
    samples: dict[int, list[tuple[str, str, str, float]]] = {block.index: [] for block in run.session.blocks}
    for one in run.series:
        for block, value in (*one.warmups, *zip(one.blocks, one.values, strict=True)):
            samples[block].append((one.environment, one.scenario, one.metric, value))
    for name, value in run.session.warmups.items():
        one = named(name, "second")
        samples[0].append((one.environment, one.scenario, one.metric, value))
    fields = ("finished", "stopped", "imprecise", "left_behind", "resumed", "label")
    changes = {name: msgspec.to_builtins(getattr(session, name)) for name in fields}
    blocks = [
        journal.Entry(block, samples[block.index], [f for f in run.session.failures if f.block == block.index])
        for block in run.session.blocks
    ]
    return [journal.Entry(changes=changes), *blocks]


def _as_series(entries: Iterable[journal.Entry], units: Mapping[tuple[str, str], str]) -> list[Series]:
    """The values of these blocks by benchmark. Raises `ValueError`."""
    found: dict[str, Series] = {}
    for entry in entries:
        for environment, scenario, metric, value in entry.samples:
            if entry.block is None or (scenario, metric) not in units:
                raise ValueError(f"a value of {scenario}.{metric} belongs to no block or no metric of the run")
            name = benchmark_name(scenario, metric, environment)
            if name not in found:
                found[name] = named(name, units[scenario, metric])
            if entry.block.index == 0:
                found[name].warmups.append((0, value))
            else:
                found[name].blocks.append(entry.block.index)
                found[name].values.append(value)
    return list(found.values())


def save(run: Run) -> None:
    """Replace the journal of a run by its suite and record. Raises `OSError`."""
    fitting = [one for one in run.series if one.fits_pyperf]
    if fitting:
        os.close(atomic_write(run.path / SUITE, encode(fitting, run.session.run_id, len(run.series) - len(fitting))))
    os.close(atomic_write(run.path / SESSION, _session_text(run.session)))
    (run.path / journal.NAME).unlink(missing_ok=True)


def _session_text(session: Session) -> Iterator[bytes]:
    """The record as readable JSON, one value per line; its blocks last, one at a time. What remains of a pruned run has
    one line per cost, to be small."""
    fields = msgspec.to_builtins(msgspec.structs.replace(session, blocks=[], pruned=None))
    del fields["blocks"], fields["pruned"]
    yield _indented(msgspec.json.encode(fields), 0).removesuffix(b"\n}")
    if session.pruned is not None:
        head = msgspec.json.encode(msgspec.structs.replace(session.pruned, costs=[])).removesuffix(b"[]}")
        yield b',\n "pruned": ' + head + b"["
        for number, cost in enumerate(session.pruned.costs):
            yield (b",\n  " if number else b"\n  ") + msgspec.json.encode(cost)
        yield b"]}"
    yield b',\n "blocks": ['
    for number, block in enumerate(session.blocks):
        yield b",\n" if number else b"\n"
        yield _indented(msgspec.json.encode(block), 2)
    yield b"\n ]\n}" if session.blocks else b"]\n}"


def _indented(text: bytes, depth: int) -> bytes:
    """Indent with one space per level, starting `depth` levels down."""
    margin = b" " * depth
    return margin + msgspec.json.format(text, indent=1).replace(b"\n", b"\n" + margin)


def _read_session(path: Path) -> Session:
    """Read session.json: the whole record of a finished run, the initial one of another. Raises `StoreError`."""
    file = path / SESSION
    with _reading(file, "not a session record"):
        raw = _bounded(file)
        version = msgspec.json.decode(raw, type=_Versioned).schema
        if version != SCHEMA:
            raise StoreError(f"{file}: schema {version}, but this isobench reads schema {SCHEMA}")
        session = msgspec.json.decode(raw, type=Session)
        _check_plain(session)
    return session


def _check_plain(session: Session) -> None:
    """Raises `ValueError` for names that would lead out of a folder, and for numbers out of range."""
    for field, pattern in _PLAIN.items():
        if not re.fullmatch(pattern, getattr(session, field)):
            raise ValueError(f"{field} is {getattr(session, field)[:80]!r}, which is not valid")
    for block in session.blocks:
        times = (
            block.started,
            block.seconds,
            *(time for one in block.cells for time in (one.started, one.seconds, one.inside)),
        )
        if not max(map(abs, times)) < _LONGEST or not 0 <= block.index <= LAST_BLOCK:
            raise ValueError(f"block {block.index} has an invalid time or number")


def _check_remains(pruned: PrunedRecord) -> None:
    """Raises `ValueError` for values that no pruned run has."""
    names = set()
    for cost in pruned.costs:
        named(cost.name, cost.unit)
        ratios = [cost.ratio.ratio] if cost.ratio is not None else []
        ratios += [number for number in (cost.night[1],) if number is not None]
        levels = [cost.level, cost.ratio.level if cost.ratio is not None else None]
        usable = all(one is None or (one.error >= 0 and one.effective >= 0) for one in levels)
        usable = usable and min(ratios, default=1.0) > 0
        if cost.name in names or cost.taken < 1 or not usable:
            raise ValueError(f"what remains of {cost.name} cannot be: it is there twice, or has an invalid number")
        names.add(cost.name)


def _gave_nothing(session: Session) -> bool:
    """Whether every measured cell failed, so that there is no suite; also true if there is only a warm-up."""
    failed = {(f.block, f.environment, f.scenario) for f in session.failures}
    measured = [block for block in session.blocks if block.index > 0]
    return all(
        block.cells and all((block.index, cell.environment, cell.scenario) in failed for cell in block.cells)
        for block in measured
    )


@contextmanager
def _reading(file: Path, words: str) -> Iterator[None]:
    """Turn errors about a file into a `StoreError` that names it; `words` say what it is not."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{file}: {words}: {error}") from error
    except ValueError as error:
        raise StoreError(f"{file}: {error}") from error
    except MemoryError as error:
        raise StoreError(f"{file}: it does not fit into memory") from error


def _bounded(file: Path) -> bytes:
    """The content of a file, if it is no larger than a run writes. Raises `OSError`, `ValueError`."""
    text = read_regular(file, _MOST_BYTES)
    if text.count(b",") + text.count(b"{") + text.count(b"[") > _MOST_PARTS:
        raise ValueError(f"it has more than {_MOST_PARTS} values")
    return text


def relabel(path: Path, *, label: str, tags: list[str]) -> None:
    """Replace the label and tags in the record of a run. Raises `StoreError`, also for a run in progress."""
    session = load(path).session
    file = path / SESSION
    if (path / journal.NAME).exists():
        raise StoreError(
            f"{path} is still being measured, or belongs to another user", remedy="wait until it has ended"
        )
    try:
        write_record(path, msgspec.structs.replace(session, label=label, tags=tags))
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}", remedy=mends(error, "--results")) from error


def write_record(path: Path, session: Session) -> None:
    """Replace the record of a run that is not being measured, atomically. Raises `OSError`."""
    os.close(atomic_write(path / SESSION, _session_text(session)))


def find_runs(results: Path) -> Iterator[Path]:
    """The run folders under `results`, oldest first by their stamp. A folder is a run when it holds a record."""
    if (results / SESSION).is_file():
        yield results
        return
    yield from sorted((file.parent for file in results.glob(f"*/*/{SESSION}")), key=lambda p: (p.name, p.parent.name))


def write_atomically(target: Path, data: bytes) -> None:
    """Write `data` to `target` atomically: a reader or a crash sees the old file or the new one."""
    os.close(atomic_write(target, [data]))


class _Versioned(msgspec.Struct):
    schema: int


_PLAIN = {
    "host_id": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "run_id": r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,99}",
    "started": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
}
"""A name that becomes part of a path must not lead out of its folder."""


def _fresh_folder(base: Path) -> Path:
    """Create `base`, or `base-2`, `base-3` … if there is already a run of the same second."""
    for attempt in range(1, 100):
        path = base if attempt == 1 else base.with_name(f"{base.name}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(17, "a hundred runs with the same time stamp", str(base))
