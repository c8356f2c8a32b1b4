"""The I/O scenarios: job files, and costs out of what fio really answers on this machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from isobench.core.errors import MeasurementError, ProbeError, StoppedShort
from isobench.planning.catalog import scenarios
from isobench.scenarios import _fio, io_jobs, neighbours
from isobench.scenarios.io import JOBS
from isobench.scenarios.io_jobs import IoJobs
from tests.fake import FakeEnvironment, FakeSandbox

IN_DEPTH = [s for s in io_jobs.SCENARIOS if isinstance(s, IoJobs)]
ALL = [
    *((job, "io") for job in JOBS),
    *((job, s.name) for s in IN_DEPTH for job in dict.fromkeys(s.jobs)),
]
BESIDE = ("layout", "start")
"""Jobs that are no metrics."""
needs_fio = pytest.mark.tool("fio")


@pytest.fixture
def answered(tmp_path: Path) -> dict[str, Any]:
    """fio's own answer to a job file, of a job that mixes reads and writes and of one that syncs."""
    files = [Path(_fio.FOLDER) / "io-direct/mixed-4k-qd1.fio", Path(_fio.FOLDER) / "io-buffered/write-fsync-4k.fio"]
    words = ["fio", "--output-format=json", f"--directory={tmp_path}"]
    jobs: dict[str, Any] = {}
    for file in files:
        small = tmp_path / file.name
        small.write_text(file.read_text().replace("size=64m", "size=1m").replace("direct=1", "direct=0"))
        done = subprocess.run([*words, str(small)], capture_output=True, text=True, check=True, timeout=60)
        jobs |= _fio.results(json.loads(done.stdout[done.stdout.index("{") :]))
    return jobs


@pytest.mark.parametrize(("job", "scenario"), ALL, ids=lambda x: x if isinstance(x, str) else x.name)
def test_a_job_file_says_what_its_metric_says(job: _fio.Job, scenario: str) -> None:
    """Name, queue depth, block size, direction and the page cache are in the file as they are in the metric's name."""
    assert (Path(_fio.FOLDER) / scenario / f"{job.name}.fio").read_text() == job.text
    options = dict(option.removeprefix("--").split("=", 1) for option in job.options)
    name = job.name.split("-")
    assert options["bs"] in name or job.name in BESIDE
    if "qd32" in name:
        assert options["iodepth"] == "32"
    assert options["rw"].startswith("rand") == any(word.startswith(("rand", "mixed")) for word in name)
    assert options["direct"] == ("0" if scenario == "io-buffered" or job.name == "layout" else "1")
    assert job.syncs == ("fsync" in name or "fdatasync" in name)
    assert {"read": "read", "write": "write", "mixed": "mixed"}[job.side] in job.name or job.name in BESIDE


@needs_fio
def test_every_job_file_is_one_that_fio_takes(tmp_path: Path) -> None:
    """fio reads each as it stands (--parse-only)."""
    files = sorted(Path(_fio.FOLDER).glob("*/*.fio"))
    jobs = {*ALL, *((job, "neighbours") for job in (neighbours._LAYOUT, *neighbours._JOBS))}
    assert {(file.stem, file.parent.name) for file in files} == {(job.name, scenario) for job, scenario in jobs}
    done = subprocess.run(["fio", "--parse-only", *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_fio
def test_the_costs_are_fios_own(answered: dict[str, Any]) -> None:
    """Rate, percentiles and CPU time agree with the numbers in fio's answer, each in seconds."""
    mixed = _fio.read_job("io-direct", "mixed-4k-qd1")
    found = _fio.costs(mixed, answered[mixed.name], _fio.PERCENTILES, cpu=True)
    side = answered[mixed.name]["mixed"]
    assert found["mixed-4k-qd1"] == pytest.approx(1 / side["iops"])
    assert found["mixed-4k-qd1-p50"] <= found["mixed-4k-qd1-p99"] <= found["mixed-4k-qd1-p99.9"]
    assert found["mixed-4k-qd1-p99.9"] <= side["lat_ns"]["max"] / 1e9 * 1.02
    assert found["mixed-4k-qd1-cpu"] <= found["mixed-4k-qd1"] * 1.1
    synced = _fio.read_job("io-buffered", "write-fsync-4k")
    found = _fio.costs(synced, answered[synced.name], ["p50"])
    assert found["write-fsync-4k-p50"] == answered[synced.name]["sync"]["lat_ns"]["percentile"]["50.000000"] / 1e9


@needs_fio
def test_a_job_that_failed_is_an_error(answered: dict[str, Any]) -> None:
    """An error number, no operation, and an answer of another form are told apart."""
    job = _fio.read_job("io-direct", "mixed-4k-qd1")
    result = answered[job.name]
    with pytest.raises(MeasurementError, match="error 28"):
        _fio.costs(job, {**result, "error": 28}, [])
    with pytest.raises(MeasurementError, match="no operation"):
        _fio.costs(job, {**result, "mixed": {**result["mixed"], "iops": 0}}, [])
    with pytest.raises(ProbeError, match="unexpected form"):
        _fio.costs(job, {}, [])
    synced = _fio.read_job("io-buffered", "write-fsync-4k")
    none = {"lat_ns": {"min": 0, "max": 0, "mean": 0.0, "stddev": 0.0, "N": 0}}  # a disk that is busy for so long
    with pytest.raises(_fio.NothingTimed, match="waited for no sync within its time"):
        _fio.costs(synced, {**answered[synced.name], "sync": none}, ["p50"])


def test_a_job_that_timed_nothing_leaves_the_others_their_values() -> None:
    """The cell has stopped short, with the reason; without any value it has failed."""
    untimed = [_fio.NothingTimed("no sync"), _fio.NothingTimed("no read")]
    assert _fio.told({"a": 1.0}, []) == {"a": 1.0}
    with pytest.raises(StoppedShort, match="no sync; no read") as short:
        _fio.told({"a": 1.0}, untimed)
    assert short.value.values == {"a": 1.0}
    with pytest.raises(_fio.NothingTimed, match=r"^no sync$"):
        _fio.told({}, untimed)


@pytest.mark.parametrize("scenario", IN_DEPTH, ids=lambda s: s.name)
def test_one_command_line_has_all_jobs(scenario: IoJobs) -> None:
    """Every job in its order, each waiting for the one before; short runs differ in nothing but their time."""
    words = scenario.arguments()
    assert [w.removeprefix("--name=") for w in words if w.startswith("--name=")] == [j.name for j in scenario.jobs]
    assert words.count("--stonewall") == len(scenario.jobs)
    assert len(words) < 295  # the probe takes no more
    different = {(a, b) for a, b in zip(words, scenario.arguments("20ms"), strict=True) if a != b}
    assert different == {("--runtime=300ms", "--runtime=20ms")}


@needs_fio
@pytest.mark.parametrize(
    ("laps", "expected"),
    [
        ({"start": [0.0, 0.0, 0.0, 0.0], "job": [0.0]}, "inside"),
        ({"start": [0.9, 0.4, 0.6, 0.1], "job": [0.9]}, "told"),
        ({"start": [0.9, 0.4, 0.6, 0.1], "job": [0.45]}, "less"),
    ],
    ids=["no guest", "a guest", "a guest that spent less than a fio that does nothing"],
)
def test_what_an_operation_costs_the_host(
    answered: dict[str, Any], monkeypatch: pytest.MonkeyPatch, laps: dict[str, list[float]], expected: str
) -> None:
    """Outside a guest the instance's own CPU time; of a guest QEMU's less the starts beside the job."""
    job = _fio.read_job("io-direct", "mixed-4k-qd1")
    scenario = IoJobs("io-direct", "", [("", (job.name,))], on_host=True)
    said = io_jobs.Said(answered, {"start": laps["start"], job.name: laps["job"]}, "fio-3", [], True)
    monkeypatch.setattr(scenario, "_run", lambda sandbox: said)
    values = scenario.measure(FakeSandbox(FakeEnvironment("fake")))
    wanted = {
        "inside": values.get("mixed-4k-qd1-cpu"),
        "told": 0.4 / answered[job.name]["mixed"]["total_ios"],
        "less": -0.05 / answered[job.name]["mixed"]["total_ios"],
    }
    assert values.get("mixed-4k-qd1-host-cpu") == pytest.approx(wanted[expected])


def test_metrics_are_named_once() -> None:
    """Every I/O metric has a name of its own within its scenario and a meaning."""
    for scenario in (s for name, s in scenarios().items() if name.split("-")[0] == "io"):
        names = [metric.name for metric in scenario.metrics]
        assert len(names) == len(set(names))
        assert all(metric.meaning and metric.unit == "second" for metric in scenario.metrics)
