"""Results on disk: what is written is read again, by isobench and by stock pyperf; damage is named."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgspec
import pyperf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import store
from bench.errors import StoreError
from bench.model import Sample
from bench.record import BlockRecord, CellRecord
from tests.unit.report.made import session

UNITS = {("startup", "ready"): "second", ("memory", "pss"): "byte"}


def write(tmp_path: Path, blocks: int = 3) -> Path:
    """A run with two benchmarks in two environments."""
    writer = store.RunWriter(tmp_path, msgspec.structs.replace(session(), blocks=[], warmups={}), UNITS)
    for index in range(blocks + 1):
        samples = [
            Sample(index, environment, scenario, metric, value * (1 + index / 100))
            for environment in ("process", "docker")
            for scenario, metric, value in (("startup", "ready", 0.001), ("memory", "pss", 1e6))
        ]
        writer.add_block(BlockRecord(index, float(index), 1.0, []), samples, [])
    return writer.path


def test_round_trip(tmp_path: Path) -> None:
    """Values, blocks, units and warm-ups come back as they were."""
    run = store.load(write(tmp_path))
    series = {s.benchmark: s for s in run.series}
    assert series["startup.ready/docker"].values == pytest.approx([0.00101, 0.00102, 0.00103])
    assert series["startup.ready/docker"].warmups == [(0, 0.001)]
    assert series["memory.pss/process"].unit == "byte"
    assert len(run.session.blocks) == 4


def test_pyperf_reads_it(tmp_path: Path) -> None:
    """Stock pyperf has the same values, and its commands work on the file."""
    suite = write(tmp_path) / "suite.json"
    loaded = {b.get_name(): b for b in pyperf.BenchmarkSuite.load(str(suite)).get_benchmarks()}
    assert loaded["startup.ready/process"].get_values() == pytest.approx((0.00101, 0.00102, 0.00103))
    assert loaded["memory.pss/process"].get_unit() == "byte"
    for words in (["stats", str(suite)], ["hist", str(suite)], ["compare_to", str(suite), str(suite)]):
        done = subprocess.run([sys.executable, "-m", "pyperf", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_warm_up_alone_keeps_the_suite_readable(tmp_path: Path) -> None:
    """After block 0 the warm-up values are in the record, and a load succeeds."""
    run = store.load(write(tmp_path, blocks=0))
    assert run.series == []
    assert run.session.warmups["startup.ready/process"] == pytest.approx(0.001)


def test_what_pyperf_dumps_is_read(tmp_path: Path) -> None:
    """A suite that pyperf has written again (it hoists common metadata) is the same suite."""
    path = write(tmp_path)
    suite = pyperf.BenchmarkSuite.load(str(path / "suite.json"))
    suite.dump(str(path / "suite.json"), replace=True)
    assert {s.benchmark for s in store.load(path).series} == {
        f"{name}/{environment}" for name in ("startup.ready", "memory.pss") for environment in ("process", "docker")
    }


def test_marked_blocks_are_not_clean(tmp_path: Path) -> None:
    """They are saved with their marks, and left out of what the stopping rule and the terminal look at."""
    writer = store.RunWriter(tmp_path, session(), UNITS)
    for index in range(4):
        marks = ["load"] if index == 2 else []
        writer.add_block(
            BlockRecord(index, 0.0, 1.0, [], marks), [Sample(index, "process", "startup", "ready", 1.0 + index)], []
        )
    (clean,) = writer.clean_series
    assert (clean.blocks, clean.values) == ([1, 3], [2.0, 4.0])
    run = store.load(writer.path)
    assert [block.marks for block in run.session.blocks] == [[], [], ["load"], []]
    assert run.series[0].blocks == [1, 2, 3]


def test_the_record_is_whole_text(tmp_path: Path) -> None:
    """Put together from parts, it is what the whole would be: the same fields, each on a line of its own."""
    text = (write(tmp_path) / "session.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False)


def test_a_block_costs_its_own_size(tmp_path: Path) -> None:
    """What the writer keeps and what it takes for a moment: no more a block than the block's text and its values."""
    writer = store.RunWriter(tmp_path, session(), UNITS)
    cells = [CellRecord("process", "startup", 1.0, 1.0, 1.0, {f"counter_{n}": 0.123456789 for n in range(10)})] * 8

    def add(first: int, last: int) -> None:
        for index in range(first, last):
            samples = [
                Sample(index, f"e{n}", scenario, metric, 1.23456789 + index)
                for n in range(20)
                for scenario, metric in UNITS
            ]
            writer.add_block(BlockRecord(index, 1.0, 1.0, cells), samples, [])

    add(0, 50)
    tracemalloc.start()
    try:
        add(50, 150)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    written = sum(file.stat().st_size for file in writer.path.iterdir()) / 150
    assert kept / 100 < 2 * written
    assert most < 1.5 * kept


def test_two_runs_of_one_second(tmp_path: Path) -> None:
    """The second gets a folder of its own."""
    assert write(tmp_path) != write(tmp_path)
    assert len(list(store.find_runs(tmp_path))) == 2


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cost_is_positive(tmp_path: Path, value: float) -> None:
    """A value that cannot be a cost is refused before it is written."""
    writer = store.RunWriter(tmp_path, session(), UNITS)
    with pytest.raises(StoreError, match="positive"):
        writer.add_block(BlockRecord(1, 0.0, 1.0, []), [Sample(1, "process", "startup", "ready", value)], [])


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("session.json", lambda d: {**d, "schema": 99}, "schema 99"),
        ("session.json", lambda d: {k: v for k, v in d.items() if k != "seed"}, "seed"),
        ("suite.json", lambda d: {**d, "benchmarks": "none"}, "pyperf"),
    ],
)
def test_damage_is_named(tmp_path: Path, file: str, change: object, words: str) -> None:
    """The file and what is wrong with it are in the error."""
    path = write(tmp_path)
    document = json.loads((path / file).read_text())
    (path / file).write_text(json.dumps(change(document)))  # type: ignore[operator]
    with pytest.raises(StoreError, match=words) as caught:
        store.load(path)
    assert file in caught.value.reason


@pytest.mark.parametrize("file", ["session.json", "suite.json"])
def test_missing_and_truncated_files(tmp_path: Path, file: str) -> None:
    """A file that is gone, empty or cut off is an error of ours."""
    path = write(tmp_path)
    whole = (path / file).read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (path / file).write_bytes(content)
        with pytest.raises(StoreError, match=file):
            store.load(path)
    (path / file).unlink()
    with pytest.raises(StoreError, match=file):
        store.load(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_garbage_never_raises_anything_else(tmp_path: Path, data: bytes) -> None:
    """Whatever bytes the files hold, only a StoreError comes out."""
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    for file in ("session.json", "suite.json"):
        (folder / file).write_bytes(data)
    with pytest.raises(StoreError):
        store.load(folder)


def test_an_unwritable_folder(tmp_path: Path) -> None:
    """The error names the folder and the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write results"):
        store.RunWriter(tmp_path / "file", session(), UNITS)


def test_atomic_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    """Neither after success nor after a failure."""
    store.write_atomically(tmp_path / "a", b"x")
    with pytest.raises(TypeError):
        store.write_atomically(tmp_path / "b", "text")  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
