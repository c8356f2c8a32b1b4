"""Results on disk: one folder a run, holding `suite.json` (pyperf's format) and `session.json` (the session record).

Every write goes to a temporary file beside its target, is synced and renamed, so that a reader never sees half a
file and a crash loses at most the block that was not finished. The suite is the truth about values; the record is
the truth about everything else. What has been written once is kept as the text that it became: a run of a thousand
blocks must not encode them all again after each.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bench.errors import StoreError
from bench.files import place
from bench.model import Sample
from bench.record import SCHEMA, BlockRecord, FailureRecord, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUITE = "suite.json"
SESSION = "session.json"
_NAME = re.compile(r"^(?P<scenario>[a-z0-9-]+)\.(?P<metric>[A-Za-z0-9_.+-]+)/(?P<environment>[A-Za-z0-9@+_.-]+)$")


class Series(NamedTuple):
    """All values of one metric in one environment, one per block. Seconds or bytes; `blocks` ascends."""

    scenario: str
    metric: str
    environment: str
    unit: str
    blocks: list[int]
    values: list[float]
    warmups: list[tuple[int, float]]
    """(block, value) of the warm-up block."""

    @property
    def benchmark(self) -> str:
        return benchmark_name(self.scenario, self.metric, self.environment)


class Run(NamedTuple):
    """A run as loaded: its folder, its record and its values."""

    path: Path
    session: Session
    series: list[Series]


def benchmark_name(scenario: str, metric: str, environment: str) -> str:
    """The pyperf benchmark name, `<scenario>.<metric>/<environment>`."""
    return f"{scenario}.{metric}/{environment}"


# The part of pyperf's file format that isobench writes (format version 1.0, pyperf `_bench.py`). Written and read
# with msgspec because a run with a million samples must load in seconds; the tests hold it against pyperf itself.
class _PyperfRun(msgspec.Struct, omit_defaults=True):
    metadata: dict[str, int | float | str] = {}
    values: list[float] = []
    warmups: list[tuple[int, float]] = []


class _PyperfBenchmark(msgspec.Struct, omit_defaults=True):
    runs: list[_PyperfRun]
    metadata: dict[str, int | float | str] = {}


class _PyperfSuite(msgspec.Struct):
    benchmarks: list[_PyperfBenchmark]
    version: str
    metadata: dict[str, int | float | str] = {}


class RunWriter:
    """Writes one run's folder, a block at a time. Owned by the runner."""

    session: Session
    """The record but for its blocks, of which only the text is kept."""

    def __init__(self, results: Path, session: Session, units: dict[tuple[str, str], str]) -> None:
        """Make `results/<host id>/<UTC stamp>/` for this run. `units` maps (scenario, metric) to its unit.

        Raises `StoreError` when the folder cannot be made.
        """
        stamp = session.started.replace(":", "").replace("-", "")
        base = results / session.host_id / stamp
        self.session = msgspec.structs.replace(session, blocks=[])
        self._units = units
        self._series: dict[str, Series] = {}
        self._runs: dict[str, bytearray] = {}
        """pyperf's runs of each benchmark, as text."""
        self._blocks: list[bytes] = []
        """The blocks of the record, as text."""
        self._marked: set[int] = set()
        self._saved = 0
        try:
            self.path = _fresh_folder(base)
            self._write_session()
        except OSError as error:
            reason = f"cannot write results to {base}: {error.strerror}"
            raise StoreError(reason, remedy="choose another --out") from error

    def add_block(self, block: BlockRecord, samples: Iterable[Sample], failures: Iterable[FailureRecord]) -> None:
        """Put one finished block on disk, synced, before the next may start."""
        for sample in samples:
            self._add(sample)
        self._blocks.append(_indented(msgspec.json.encode(block), 2))
        if block.marks:
            self._marked.add(block.index)
        self.session = msgspec.structs.replace(
            self.session,
            failures=[*self.session.failures, *failures],
            warmups={n: s.warmups[0][1] for n, s in self._series.items() if s.warmups and not s.values},
        )
        with self._errors():
            self._write_suite()
            self._write_session()
        self._saved = len(self._blocks)

    def amend(self, **changes: object) -> None:
        """Replace fields of the record (the end of the run, a late skip) and put it on disk."""
        self.session = msgspec.structs.replace(self.session, **changes)
        with self._errors():
            self._write_session()

    @property
    def series(self) -> list[Series]:
        """Everything saved so far."""
        return list(self._series.values())

    @property
    def clean_series(self) -> list[Series]:
        """What the analysis will use: everything saved so far but for marked blocks."""
        return [
            one._replace(
                blocks=[block for block in one.blocks if block not in self._marked],
                values=[v for block, v in zip(one.blocks, one.values, strict=True) if block not in self._marked],
            )
            for one in self.series
        ]

    def _add(self, sample: Sample) -> None:
        name = benchmark_name(sample.scenario, sample.metric, sample.environment)
        if not (math.isfinite(sample.value) and sample.value > 0):
            raise StoreError(f"{name} is {sample.value}: costs are positive")
        if name not in self._series:
            unit = self._units[sample.scenario, sample.metric]
            self._series[name] = Series(sample.scenario, sample.metric, sample.environment, unit, [], [], [])
            self._runs[name] = bytearray()
        series, runs = self._series[name], self._runs[name]
        if sample.block == 0:
            series.warmups.append((0, sample.value))
            run = _PyperfRun({"block": 0}, warmups=[(1, sample.value)])
        else:
            series.blocks.append(sample.block)
            series.values.append(sample.value)
            run = _PyperfRun({"block": sample.block}, [sample.value])
        runs += (b"," if runs else b"") + msgspec.json.encode(run)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"cannot write results to {self.path} (blocks saved: {self._saved}): {error.strerror}"
            raise StoreError(reason, remedy="make room there, or choose another --out") from error

    def _write_suite(self) -> None:
        if any(series.values for series in self._series.values()):
            os.close(place(self.path / SUITE, self._suite_text()))

    def _suite_text(self) -> Iterator[bytes | bytearray]:
        """`_PyperfSuite`, a benchmark at a time."""
        begin = b'{"benchmarks":['
        for name, series in self._series.items():
            if series.values:  # pyperf cannot hold a benchmark without one
                metadata = msgspec.json.encode({"name": name, "unit": series.unit})
                yield from (begin, b'{"runs":[', self._runs[name], b'],"metadata":', metadata, b"}")
                begin = b","
        yield b'],"version":"1.0","metadata":' + msgspec.json.encode({"isobench_run": self.session.run_id}) + b"}"

    def _write_session(self) -> None:
        os.close(place(self.path / SESSION, self._session_text()))

    def _session_text(self) -> Iterator[bytes]:
        """The record with its blocks last, a block at a time."""
        fields = msgspec.to_builtins(self.session)
        del fields["blocks"]
        yield _indented(msgspec.json.encode(fields), 0).removesuffix(b"\n}") + b',\n "blocks": ['
        for index, text in enumerate(self._blocks):
            yield b",\n" if index else b"\n"
            yield text
        yield b"\n ]\n}" if self._blocks else b"]\n}"


def _indented(text: bytes, depth: int) -> bytes:
    """JSON for people: each value on a line, a space a level, `depth` levels down."""
    margin = b" " * depth
    return margin + msgspec.json.format(text, indent=1).replace(b"\n", b"\n" + margin)


def load(path: Path) -> Run:
    """Load one run folder. Raises `StoreError`, naming the file and what is wrong with it."""
    session = load_session(path)
    suite = path / SUITE
    if not suite.exists() and _gave_nothing(session):
        return Run(path, session, [])
    try:
        decoded = _SUITE_DECODER.decode(suite.read_bytes())
    except OSError as error:
        raise StoreError(f"{suite}: {error.strerror}") from error
    except _UNREADABLE as error:
        raise StoreError(f"{suite}: not a pyperf suite: {error}") from error
    return Run(path, session, [_from_pyperf(b, suite) for b in decoded.benchmarks])


def _gave_nothing(session: Session) -> bool:
    """Whether every measured cell failed, so that there never was a suite; true of a warm-up alone."""
    failed = {(f.block, f.environment, f.scenario) for f in session.failures}
    measured = [block for block in session.blocks if block.index > 0]
    return all(
        block.cells and all((block.index, cell.environment, cell.scenario) in failed for cell in block.cells)
        for block in measured
    )


def load_session(path: Path) -> Session:
    """Load only the record of a run folder. Raises `StoreError`."""
    file = path / SESSION
    try:
        raw = file.read_bytes()
        version = msgspec.json.decode(raw, type=_Versioned).schema
        if version != SCHEMA:
            raise StoreError(f"{file}: schema {version}, but this isobench reads schema {SCHEMA}")
        session = msgspec.json.decode(raw, type=Session)
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}") from error
    except _UNREADABLE as error:
        raise StoreError(f"{file}: not a session record: {error}") from error
    for field, pattern in _PLAIN.items():
        if not re.fullmatch(pattern, getattr(session, field)):
            raise StoreError(f"{file}: {field} is {getattr(session, field)[:80]!r}, which no run writes")
    return session


def find_runs(results: Path) -> Iterator[Path]:
    """The run folders under `results`, oldest first by their stamp. A folder is a run when it holds a record."""
    if (results / SESSION).is_file():
        yield results
        return
    yield from sorted((file.parent for file in results.glob(f"*/*/{SESSION}")), key=lambda p: (p.name, p.parent.name))


def write_atomically(target: Path, data: bytes) -> None:
    """Write `data` to `target` so that a reader or a crash sees the old file or the new one, never a part."""
    os.close(place(target, [data]))


class _Versioned(msgspec.Struct):
    schema: int


_PLAIN = {
    "host_id": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "run_id": r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,99}",
    "started": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
}
"""What becomes part of a path somewhere must not be able to lead out of its folder."""
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SUITE_DECODER = msgspec.json.Decoder(_PyperfSuite)


def _fresh_folder(base: Path) -> Path:
    """Make `base`, or `base-2`, `base-3` … where a run of the same second is already there."""
    for attempt in range(1, 100):
        path = base if attempt == 1 else base.with_name(f"{base.name}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(17, "a hundred runs with one stamp", str(base))


def _from_pyperf(benchmark: _PyperfBenchmark, file: Path) -> Series:
    """One benchmark back into a series; metadata shared by all runs may have been hoisted by pyperf."""
    name = str(benchmark.metadata.get("name", ""))
    match = _NAME.match(name)
    if match is None:
        raise StoreError(f"{file}: {name[:80]!r} is not a benchmark name of isobench")
    series = Series(**match.groupdict(), unit=str(benchmark.metadata.get("unit", "")), blocks=[], values=[], warmups=[])
    if series.unit not in ("second", "byte"):
        raise StoreError(f"{file}: {name}: unit {series.unit[:20]!r} is not second or byte")
    for run in benchmark.runs:
        block = run.metadata.get("block", benchmark.metadata.get("block"))
        if not isinstance(block, int) or len(run.values) + len(run.warmups) != 1:
            raise StoreError(f"{file}: {name}: a run is not one value of one block")
        value = run.values[0] if run.values else run.warmups[0][1]
        if not (math.isfinite(value) and value > 0):
            raise StoreError(f"{file}: {name}: block {block} has the value {value}, and costs are positive")
        if run.values:
            series.blocks.append(block)
            series.values.append(value)
        else:
            series.warmups.append((block, value))
    if series.blocks != sorted(set(series.blocks)):
        raise StoreError(f"{file}: {name}: blocks are not in order, or one is there twice")
    return series
