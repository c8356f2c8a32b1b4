"""Series of values, and the part of pyperf's file format (version 1.0, pyperf `_bench.py`) that isobench writes.

Written and read with msgspec, because a run with a million samples must load in seconds; the tests compare it with
pyperf itself. pyperf's values are positive. A series with any other value is not in the suite at all, since a median
over the rest would be wrong; the session record has all of it (`Session.not_in_suite`).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from isobench.core.model import Unit

_NAME = re.compile(r"(?P<scenario>[a-z0-9-]+)\.(?P<metric>[A-Za-z0-9_.+-]+)/(?P<environment>[A-Za-z0-9@+_.-]+)")
_LONGEST_NAME = 300
_UNITS: dict[str, Unit] = {"second": "second", "byte": "byte"}
_SMALLEST, _LARGEST = 1e-15, 1e19
"""Bounds of a value that was measured: a millionth of a nanosecond, and as many bytes as 64 bits count."""
LAST_BLOCK = 10**8


class Series(NamedTuple):
    """All values of one metric in one environment, one per block. Seconds or bytes; `blocks` ascends."""

    scenario: str
    metric: str
    environment: str
    unit: Unit
    blocks: list[int]
    values: list[float]
    warmups: list[tuple[int, float]]
    """(block, value) of the warm-up block."""

    @property
    def benchmark(self) -> str:
        return benchmark_name(self.scenario, self.metric, self.environment)

    @property
    def fits_pyperf(self) -> bool:
        """Whether pyperf can hold it, whole."""
        return bool(self.values) and min(self.values) > 0 and all(value > 0 for _, value in self.warmups)


def benchmark_name(scenario: str, metric: str, environment: str) -> str:
    """The pyperf benchmark name, `<scenario>.<metric>/<environment>`."""
    return f"{scenario}.{metric}/{environment}"


def named(name: str, unit: str) -> Series:
    """An empty series of this benchmark. Raises `ValueError` if no run writes such a name or unit."""
    scenario, metric, environment, known = _parts(name, unit)
    return Series(scenario, metric, environment, known, [], [], [])


@lru_cache(maxsize=4096)  # a history has the same few hundred in every night
def _parts(name: str, unit: str) -> tuple[str, str, str, Unit]:
    match = _NAME.fullmatch(name) if len(name) <= _LONGEST_NAME else None
    if match is None:
        raise ValueError(f"{name[:80]!r} is not a benchmark name of isobench")
    if unit not in _UNITS:
        raise ValueError(f"{name}: unit {unit[:20]!r} is not second or byte")
    return match["scenario"], match["metric"], match["environment"], _UNITS[unit]


def check(series: Iterable[Series]) -> list[Series]:
    """The series, checked. Raises `ValueError` if they cannot be those of one run."""
    units: dict[tuple[str, str], str] = {}
    found: dict[str, Series] = {}
    usual: list[int] = []
    for one in series:
        name = one.benchmark
        if found.setdefault(name, one) is not one:
            raise ValueError(f"{name} is there twice")
        if units.setdefault((one.scenario, one.metric), one.unit) != one.unit:
            raise ValueError(f"{name} is in {one.unit}s, and another environment's in another unit")
        _check_values(name, [*one.values, *(value for _, value in one.warmups)] if one.warmups else one.values)
        if one.warmups or one.blocks != usual or len(one.values) != len(usual):  # nearly all series have the same
            _check_blocks(name, one)
            usual = [] if one.warmups else one.blocks
    return list(found.values())


def _check_values(name: str, values: list[float]) -> None:
    usual = bool(values) and min(values) >= _SMALLEST and max(values) <= _LARGEST and math.isfinite(sum(values))
    if not usual:  # a hundred thousand series are, and need no closer look
        _check_closely(name, values)


def _check_blocks(name: str, series: Series) -> None:
    blocks = [*(block for block, _ in series.warmups), *series.blocks]
    if len(series.blocks) != len(series.values) or (blocks and not 0 <= min(blocks) <= max(blocks) <= LAST_BLOCK):
        raise ValueError(f"{name}: a value is of no block")
    if blocks != sorted(set(blocks)):
        raise ValueError(f"{name}: blocks are not in order, or one is there twice")


def _check_closely(name: str, values: list[float]) -> None:
    if not math.isfinite(math.fsum(values) if max(map(abs, values), default=0.0) <= _LARGEST else math.inf):
        raise ValueError(f"{name} has a value that nothing measures, such as {max(values, key=abs)}")
    least = min((abs(value) for value in values if value), default=1.0)
    if least < _SMALLEST:
        raise ValueError(f"{name} has a value that nothing measures, such as {least}")


class _Circumstances(msgspec.Struct, omit_defaults=True):
    """The metadata of a run that are used. Decoding all of them would take longer than everything else."""

    block: int | float | str | None = None


class _Run(msgspec.Struct, omit_defaults=True):
    metadata: _Circumstances | None = None
    values: list[float] | None = None
    warmups: list[tuple[int, float]] | None = None


class _Benchmark(msgspec.Struct, omit_defaults=True):
    runs: list[_Run]
    metadata: dict[str, int | float | str] = {}


class _Suite(msgspec.Struct):
    benchmarks: list[_Benchmark]
    version: str
    metadata: dict[str, int | float | str] = {}


def encode(series: Iterable[Series], run_id: str, elsewhere: int) -> Iterator[bytes]:
    """The suite's text, a benchmark at a time; every series has to fit. `elsewhere` series are not in it."""
    begin = b'{"benchmarks":['
    for one in series:
        runs = [_Run(_Circumstances(block), warmups=[(1, value)]) for block, value in one.warmups]
        runs += [_Run(_Circumstances(block), [value]) for block, value in zip(one.blocks, one.values, strict=True)]
        yield begin + msgspec.json.encode(_Benchmark(runs, {"name": one.benchmark, "unit": one.unit}))
        begin = b","
    metadata: dict[str, int | str] = {"isobench_run": run_id}
    if elsewhere:
        metadata["isobench_in_session_json"] = f"{elsewhere} benchmarks that have a value of zero or less"
    yield b'],"version":"1.0","metadata":' + msgspec.json.encode(metadata) + b"}"


def decode(text: bytes) -> list[Series]:
    """The series of a suite. Raises `ValueError` (msgspec's, if it is not a pyperf suite)."""
    return [_series(benchmark) for benchmark in _DECODER.decode(text).benchmarks]


def _series(benchmark: _Benchmark) -> Series:
    """One benchmark; metadata that all its runs share may have been hoisted by pyperf."""
    series = named(str(benchmark.metadata.get("name", "")), str(benchmark.metadata.get("unit", "")))
    hoisted, blocks, measured = benchmark.metadata.get("block"), series.blocks, series.values
    for run in benchmark.runs:
        block = run.metadata.block if run.metadata is not None else None
        if block is None:
            block = hoisted
        values, warmups = run.values or [], run.warmups or []
        if type(block) is not int or len(values) + len(warmups) != 1:
            raise ValueError(f"{series.benchmark}: a run is not one value of one block")
        value = values[0] if values else warmups[0][1]
        if not value > 0:
            raise ValueError(f"{series.benchmark}: block {block} has the value {value}, which must be positive")
        if values:
            blocks.append(block)
            measured.append(value)
        else:
            series.warmups.append((block, value))
    return series


_DECODER = msgspec.json.Decoder(_Suite)
