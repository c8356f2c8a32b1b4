"""Results on disk: what is written is read again, by isobench and by stock pyperf; damage is named."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyperf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isobench.analysis import frames
from isobench.core.errors import StoreError
from isobench.results import journal, store
from isobench.results.journal import Sample
from isobench.results.record import BlockRecord, CellRecord, FailureRecord, MetricRecord, ScenarioRecord
from tests.unit.analysis.made import session as made_session
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
    writer.finish()
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


def test_what_a_writer_keeps_does_not_grow(tmp_path: Path) -> None:
    """But for sixteen bytes a value, which the stopping rule asks for."""
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

    add(1, 50)
    tracemalloc.start()
    try:
        add(50, 150)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.5 * 150 * 40 * 16


def test_two_runs_of_one_second(tmp_path: Path) -> None:
    """The second gets a folder of its own."""
    assert write(tmp_path) != write(tmp_path)
    assert len(list(store.find_runs(tmp_path))) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, 1e-300])
def test_what_nothing_measures_is_no_value(tmp_path: Path, value: float) -> None:
    """It is refused before it is written."""
    writer = store.RunWriter(tmp_path, session(), UNITS)
    with pytest.raises(StoreError, match="nothing measures"):
        writer.add_block(BlockRecord(1, 0.0, 1.0, []), [Sample(1, "process", "startup", "ready", value)], [])


def test_zero_and_less_are_kept_whole(tmp_path: Path) -> None:
    """Nineteen zeros and a one have the median zero; pyperf, which cannot hold them, has no benchmark of that name."""
    writer = store.RunWriter(tmp_path, msgspec.structs.replace(session(), blocks=[], warmups={}), UNITS)
    values = [0.0] * 18 + [-4096.0, 57344.0]
    for index, value in enumerate([0.0, *values]):
        samples = [Sample(index, "docker", "memory", "pss", value), Sample(index, "docker", "startup", "ready", 1.0)]
        writer.add_block(BlockRecord(index, float(index), 1.0, []), samples, [])
    growing = {one.benchmark: one.values for one in store.load(writer.path).series}
    writer.finish()
    run = store.load(writer.path)
    assert {one.benchmark: one.values for one in run.series} == growing
    assert growing["memory.pss/docker"] == values
    suite = pyperf.BenchmarkSuite.load(str(writer.path / "suite.json"))
    assert suite.get_benchmark_names() == ["startup.ready/docker"]
    assert "1 benchmarks" in suite.get_metadata()["isobench_in_session_json"]
    frame = frames.summary(frames.samples(run), "process")
    row = frame[frame["metric"] == "pss"].iloc[0]
    assert (row["n"], row["median"]) == (20, 0.0)


def test_nothing_but_zeros_is_a_run(tmp_path: Path) -> None:
    """There is no suite at all then, and the record has the values."""
    writer = store.RunWriter(tmp_path, msgspec.structs.replace(session(), blocks=[], warmups={}), UNITS)
    for index in range(3):
        writer.add_block(BlockRecord(index, 0.0, 1.0, []), [Sample(index, "process", "memory", "pss", 0.0)], [])
    writer.finish()
    assert [file.name for file in writer.path.iterdir()] == ["session.json"]
    assert [one.values for one in store.load(writer.path).series] == [[0.0, 0.0]]


def test_what_a_run_had_is_there_when_it_goes_on(tmp_path: Path) -> None:
    """Failures, marks, values that pyperf cannot hold and warm-up values without others, byte for byte."""
    units = {("s", "a"): "second", ("s", "b"): "second"}
    scenario = ScenarioRecord("s", "s", [MetricRecord("a", "second", "a", "any"), MetricRecord("b", "second", "b")])
    record = msgspec.structs.replace(made_session(), scenarios=[scenario])
    writer = store.RunWriter(tmp_path, record, units)
    for index, marks in enumerate(([], ["load"], [])):
        samples = [Sample(index, "process", "s", "a", index - 1.0)]
        samples += [Sample(0, "chroot", "s", "b", 1.0)] if index == 0 else []
        failures = [FailureRecord(index, "docker", "s", f"failure {index}")]
        writer.add_block(BlockRecord(index, float(index), 1.0, [], list(marks)), samples, failures)
    writer.finish()
    before = store.load(writer.path)
    again = store.RunWriter(tmp_path, before.session, units, before)
    assert (again.blocks, again.left_out, again.measured) == (3, 1, True)
    assert [one.values for one in again.clean_series] == [[1.0]]
    again.finish()
    after = store.load(writer.path)
    assert after == before


def _grow(results: Path, blocks: int) -> store.RunWriter:
    writer = store.RunWriter(results, msgspec.structs.replace(session(), blocks=[], warmups={}), UNITS)
    for index in range(blocks + 1):
        sample = Sample(index, "process", "startup", "ready", 1.0 + index)
        writer.add_block(BlockRecord(index, float(index), 1.0, []), [sample], [])
    return writer


@contextmanager
def _killed(results: Path, blocks: int) -> Iterator[Path]:
    """The folder of a run whose process is gone: nothing was finished, and nobody holds its lock."""
    writer = _grow(results, blocks)
    writer._journal.close()
    yield writer.path


def test_a_run_that_goes_on_is_read_and_left_alone(tmp_path: Path) -> None:
    """Its blocks so far load; its writer can go on and finish."""
    writer = _grow(tmp_path, 3)
    assert store.load(writer.path).series[0].values == [2.0, 3.0, 4.0]
    assert {file.name for file in writer.path.iterdir()} == {"session.json", "journal.jsonl"}
    writer.add_block(BlockRecord(4, 4.0, 1.0, []), [Sample(4, "process", "startup", "ready", 5.0)], [])
    writer.amend(stopped="blocks")
    writer.finish()
    run = store.load(writer.path)
    assert (run.series[0].values, run.session.stopped, run.session.torn) == ([2.0, 3.0, 4.0, 5.0], "blocks", False)
    assert {file.name for file in writer.path.iterdir()} == {"session.json", "suite.json"}


def test_a_killed_run_is_finished_by_its_first_reader(tmp_path: Path) -> None:
    """Every finished block loads, and stock pyperf reads the suite afterwards."""
    with _killed(tmp_path / "record", 3) as path:
        record = store.load_session(path)
        assert {file.name for file in path.iterdir()} == {"session.json", "suite.json"}
        assert store.load(path).session == record and [block.index for block in record.blocks] == [0, 1, 2, 3]
    with _killed(tmp_path / "whole", 3) as path:
        run = store.load(path)
        assert run.series[0].values == [2.0, 3.0, 4.0]
        assert {file.name for file in path.iterdir()} == {"session.json", "suite.json"}
        assert store.load(path) == run
        (benchmark,) = pyperf.BenchmarkSuite.load(str(path / "suite.json")).get_benchmarks()
        assert benchmark.get_values() == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_off_loses_its_block_alone(tmp_path: Path, cut: int) -> None:
    """And the record says so, also when it is read again."""
    with _killed(tmp_path, 3) as path:
        file = path / "journal.jsonl"
        file.write_bytes(file.read_bytes()[:-cut])
        run = store.load(path)
        assert run.series[0].values == [2.0, 3.0] and run.session.torn
        assert store.load(path).session.torn


def test_a_line_whose_middle_never_came_to_the_disk(tmp_path: Path) -> None:
    """Zeros where the text should be, as file systems leave them, are a line cut off as well."""
    with _killed(tmp_path, 3) as path:
        file = path / "journal.jsonl"
        text = file.read_bytes()
        file.write_bytes(text[:-60] + bytes(59) + b"\n")
        assert store.load(path).series[0].values == [2.0, 3.0]


def test_a_damaged_line_before_the_last_is_named(tmp_path: Path) -> None:
    """It is no loss that a crash explains."""
    with _killed(tmp_path, 3) as path:
        file = path / "journal.jsonl"
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([lines[0], lines[1][:20] + b"\n", *lines[2:]]))
        with pytest.raises(StoreError, match=r"journal.jsonl: line 2 is damaged"):
            store.load(path)


def test_a_crash_while_the_files_are_made(tmp_path: Path) -> None:
    """With the files there and the journal as well, the journal counts: nothing is there twice."""
    with _killed(tmp_path, 3) as path:
        text = (path / "journal.jsonl").read_bytes()
        run = store.load(path)
        (path / "journal.jsonl").write_bytes(text)
        assert store.load(path) == run
        assert not (path / "journal.jsonl").exists()


def test_a_killed_run_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from its journal, which stays; so it is with somebody else's."""
    with _killed(tmp_path, 3) as path:
        with monkeypatch.context() as patch:
            patch.setattr(
                store, "atomic_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
            )
            assert store.load(path).series[0].values == [2.0, 3.0, 4.0]
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert store.load(path).series[0].values == [2.0, 3.0, 4.0]
        assert (path / "journal.jsonl").exists()


def test_a_block_that_does_not_fit_leaves_the_others(tmp_path: Path) -> None:
    """What a full disk took of a line is taken back, so that a later line is whole."""
    writer = _grow(tmp_path, 2)
    size = (writer.path / "journal.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(StoreError, match="blocks saved: 3"):
            writer.add_block(BlockRecord(3, 3.0, 1.0, []), [Sample(3, "process", "startup", "ready", 9.0)], [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    writer.amend(stopped="interrupted")
    writer.finish()
    run = store.load(writer.path)
    assert (run.series[0].values, run.session.stopped) == ([2.0, 3.0], "interrupted")


def test_an_interruption_while_the_disk_is_slow_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block whose line is whole is finished; Ctrl-C while it is synced falls between two blocks."""
    writer = _grow(tmp_path, 2)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "sync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.add_block(BlockRecord(3, 3.0, 1.0, []), [Sample(3, "process", "startup", "ready", 9.0)], [])
    assert writer.clean_series[0].values == [2.0, 3.0, 9.0]
    writer.amend(stopped="interrupted")
    writer.finish()
    assert store.load(writer.path).series[0].values == [2.0, 3.0, 9.0]


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_run_whose_folder_is_gone_ends(tmp_path: Path, how: str) -> None:
    """At its next block, not after hours whose results nobody finds; one that was moved has all blocks until then."""
    writer = _grow(tmp_path, 2)
    elsewhere = tmp_path / "elsewhere"
    writer.path.rename(elsewhere)
    if how == "replaced":
        writer.path.mkdir()
        (writer.path / journal.NAME).write_bytes(b"")
    if how == "removed":
        shutil.rmtree(elsewhere)
    with pytest.raises(StoreError, match=r"blocks saved: 3.*removed or moved"):
        writer.add_block(BlockRecord(3, 3.0, 1.0, []), [Sample(3, "process", "startup", "ready", 9.0)], [])
    with pytest.raises(StoreError):
        writer.finish()
    if how != "removed":
        assert store.load(elsewhere).series[0].values == [2.0, 3.0]


def test_a_disk_that_is_full_when_synced_keeps_the_blocks_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _grow(tmp_path, 2)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "sync", full)
        with pytest.raises(StoreError, match="blocks saved: 3"):
            writer.add_block(BlockRecord(3, 3.0, 1.0, []), [Sample(3, "process", "startup", "ready", 9.0)], [])
    writer.finish()
    assert store.load(writer.path).series[0].values == [2.0, 3.0]


def test_a_block_costs_what_it_is(tmp_path: Path) -> None:
    """The hundredth block writes as many bytes as the second, and what it is on disk."""
    writer = _grow(tmp_path, 1)

    def written(index: int) -> int:
        before = _bytes_written()
        writer.add_block(BlockRecord(index, 1.0, 1.0, []), [Sample(index, "process", "startup", "ready", 1.0)], [])
        return _bytes_written() - before

    costs = [written(index) for index in range(2, 102)]
    assert max(costs) - min(costs) <= 4  # the digits of its number
    assert sum(costs) < (writer.path / "journal.jsonl").stat().st_size


def _bytes_written() -> int:
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["wchar"])


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
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
