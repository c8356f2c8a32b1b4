"""Neighbours: what is launched beside what, what becomes of the answers, and what the gate makes of the cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isobench.cells.cell import TimedSandbox
from isobench.cells.gate import marks
from isobench.contracts.capabilities import Lack
from isobench.contracts.launch import DEFAULT_TIMEOUT, Launch
from isobench.core.errors import BuildError, IsobenchError, MeasurementError, StoppedShort, Unavailable
from isobench.host.counters import Counter
from isobench.planning import catalog
from isobench.results.record import CellRecord
from isobench.scenarios import _commands, _pressing, neighbours
from isobench.scenarios._aggressors import AGGRESSORS, Aggressor
from tests.fake import SayingInstance

BY_NAME: dict[str, Any] = {scenario.name: scenario for scenario in neighbours.SCENARIOS}
METRICS = ("start", "syscall", "round-trip", "read", "fsync", "read-p99", "fsync-p99", "redis")

BEGUN = {"ns": 1, "status": 0, "signal": 0, "late": 0, "output": "stress-ng: info: dispatching hogs: 2 cpu\n"}
CALLS = [
    {"batch_ns": 100_000},
    {"name": "getppid", "ns": [100.0, 300.0]},
    {"name": "tcp", "ns": [9000.0]},
]
LATENCY = {"percentile": {"99.000000": 500_000}, "N": 10}
FIO = [
    {
        "jobs": [
            {"jobname": "layout", "error": 0},
            {"jobname": "read", "error": 0, "read": {"iops": 1000.0, "lat_ns": LATENCY}},
            {"jobname": "fsync", "error": 0, "write": {"iops": 100.0}, "sync": {"lat_ns": LATENCY}},
        ]
    }
]


REDIS = [BEGUN, {**BEGUN, "output": '"test","rps"\n"GET","4000.00","1"\n'}, BEGUN]


class Stamped(SayingInstance):
    events: Mapping[str, int] = {"requested": 10**9, "ready": 2 * 10**9}


class Box:
    """A sandbox that answers each launch with the next script, or fails as scripted, and keeps what was launched."""

    def __init__(self, *scripts: Sequence[object] | IsobenchError) -> None:
        self.scripts = list(scripts)
        self.launched: list[Launch] = []
        self.living = 0
        self.beside: list[int] = []

    def daemons(self) -> list[int]:
        return []

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[Stamped]:
        script = self.scripts[len(self.launched)]
        self.launched.append(launch)
        self.beside.append(self.living)
        if isinstance(script, IsobenchError):
            raise script
        self.living += 1
        yield Stamped(b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in script))
        self.living -= 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room, and an archive that is not made."""
    monkeypatch.setattr(_commands, "made", lambda *packages: Path("/cache/workload-abc/root.tar"))
    monkeypatch.setattr(_pressing, "refuses", lambda sandbox=None: "")
    monkeypatch.setattr(_pressing, "_SETTLES", 0.0)


def test_alone_there_are_three_instances() -> None:
    """Each victim has its mean; the start is that of the first instance."""
    box = Box(CALLS, FIO, REDIS)
    found = BY_NAME["neighbour-none"].measure(box)
    assert found == pytest.approx(
        {
            "start": 1.0,
            "syscall": 200e-9,
            "round-trip": 9e-6,
            "read": 1e-3,
            "fsync": 1e-2,
            "read-p99": 5e-4,
            "fsync-p99": 5e-4,
            "redis": 1 / 4000,
        }
    )
    assert [launch.arguments[0] for launch in box.launched] == ["syscall", "fio", "run"] and box.beside == [0] * 3


def test_without_direct_io_the_other_victims_have_their_costs() -> None:
    """On a tmpfs before Linux 6.6, where fio's victims do not exist."""
    refused = [{"error": "fio failed: fio: destination does not support O_DIRECT"}]
    with pytest.raises(StoppedShort, match="no direct I/O") as short:
        BY_NAME["neighbour-none"].measure(Box(CALLS, refused, REDIS))
    assert set(short.value.values) == {"start", "syscall", "round-trip", "redis"}


@pytest.mark.parametrize("aggressor", AGGRESSORS, ids=lambda one: one.name)
def test_the_victims_are_measured_while_it_presses(aggressor: Aggressor) -> None:
    """Beside an instance of the same sandbox, which is asked in the end whether it still pressed."""
    steps = 3 if aggressor.is_fio else 2
    box = Box([BEGUN] * steps, CALLS, FIO, REDIS)
    found = BY_NAME[f"neighbour-{aggressor.name}"].measure(box)
    assert set(found) == set(METRICS) == {metric.name for metric in neighbours.Beside(None).metrics}
    assert box.beside == [0, 1, 1, 1]
    pressing = box.launched[0]
    assert pressing.root == Path("/cache/workload-abc/root.tar") and pressing.memory_bytes == _pressing.MEMORY
    assert pressing.limits == Launch(("ready",)).limits
    assert pressing.arguments.count("--") == 2 * steps - 1  # a step's words begin behind one, and prlimit's
    assert pressing.arguments.count(f"user={_pressing._USER}:{_pressing._USER}") == steps - 1


@pytest.mark.parametrize("aggressor", AGGRESSORS, ids=lambda one: one.name)
def test_every_aggressor_is_bounded(aggressor: Aggressor) -> None:
    """In processes, memory, the size of its files and its time, with and without limits of its instance."""
    words = _pressing.command(aggressor)
    assert words[0] == "prlimit" and words.index("--") == 5
    assert f"--nproc={_pressing.PROCESSES}:{_pressing.PROCESSES}" in words
    assert f"--as={_pressing.MEMORY}:{_pressing.MEMORY}" in words
    line = " ".join(words).replace("--runtime=", "--timeout ")
    assert int(line.partition("--timeout ")[2].split()[0].removesuffix("s")) == 4 * DEFAULT_TIMEOUT


def test_with_limits_only_the_aggressor_is_limited() -> None:
    box = Box([BEGUN] * 2, CALLS, FIO, REDIS)
    BY_NAME["neighbour-fork-limited"].measure(box)
    limits = box.launched[0].limits
    assert (limits.cpu_percent, limits.processes, limits.write_bytes) == (50, 64, 0)
    assert box.launched[0].memory_bytes == _pressing.LIMITED_MEMORY
    assert box.launched[1].limits == box.launched[2].limits == box.launched[3].limits == Launch(("ready",)).limits


def test_one_that_ends_early_presses_nobody() -> None:
    """Its victims' costs are not kept, and its last words are said."""
    ended = {**BEGUN, "late": 1, "output": "stress-ng: error: out of luck\n"}
    box = Box([BEGUN, ended], CALLS, FIO, REDIS)
    with pytest.raises(MeasurementError, match=r"the aggressor ended before its victims did: .*out of luck"):
        BY_NAME["neighbour-cpu"].measure(box)


def test_one_that_cannot_begin_says_why() -> None:
    failed = {**BEGUN, "status": 1, "output": "fio: No space left on device\n"}
    with pytest.raises(MeasurementError, match=r"cannot make its files: .*No space left"):
        BY_NAME["neighbour-fsync"].measure(Box([failed]))
    with pytest.raises(MeasurementError, match="the aggressor: the probe's answer ends"):
        BY_NAME["neighbour-cpu"].measure(Box([]))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([{**BEGUN, "late": 1, "output": "out of memory\n"}], "redis does not begin: out of memory"),
        ([BEGUN, {**BEGUN, "output": "nothing\n"}, BEGUN], "redis-benchmark told no rate"),
        ([BEGUN, {**BEGUN, "output": '"GET","0.00"\n'}, BEGUN], "redis-benchmark told no rate"),
        ([*REDIS[:2], {**BEGUN, "late": 1, "output": ""}], "redis ended before its driver did"),
    ],
)
def test_a_redis_that_fails_is_the_failure_of_the_cell(script: list[object], words: str) -> None:
    with pytest.raises(MeasurementError, match=words):
        BY_NAME["neighbour-none"].measure(Box(CALLS, FIO, script))


def test_a_limit_that_cannot_be_set_is_no_failure() -> None:
    with pytest.raises(StoppedShort, match="it lies on no disk"):
        BY_NAME["neighbour-fsync-limited"].measure(Box(Unavailable("it lies on no disk")))


def test_without_room_nothing_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone neither: there is nothing to compare it with."""
    monkeypatch.setattr(_pressing, "refuses", lambda sandbox=None: "no room")
    for scenario in neighbours.SCENARIOS:
        with pytest.raises(StoppedShort, match="no room"):
            scenario.measure(Box())  # type: ignore[arg-type]


def test_what_a_host_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of Debian, or its reserves."""
    monkeypatch.setattr(neighbours, "lacks_fio", lambda: None)
    assert BY_NAME["neighbour-cpu"].lacks() is None
    monkeypatch.setattr(_pressing, "refuses", lambda sandbox=None: "no room")
    assert BY_NAME["neighbour-none"].lacks() == Lack("no room")
    monkeypatch.setattr(_pressing, "refuses", lambda sandbox=None: "")
    monkeypatch.setattr(_commands, "made", lambda *packages: BuildError("no mirror", remedy="find one"))
    assert BY_NAME["neighbour-none"].lacks() == Lack("no mirror", "find one")
    monkeypatch.setattr(neighbours, "lacks_fio", lambda: Lack("no fio"))
    assert BY_NAME["neighbour-cpu"].lacks() == Lack("no fio")


@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("isobench.scenarios._pressing.available_memory", lambda: 1 << 30, "1024 MiB for an aggressor and its victim"),
        ("isobench.scenarios._pressing.pids_free", lambda: 1200.0, "512 processes"),
        ("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 30}), "1.0 GiB free"),
    ],
)
def test_reserves_are_kept(what: str, value: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of memory, process ids and the disk."""
    monkeypatch.undo()
    monkeypatch.setattr("isobench.scenarios._pressing.available_memory", lambda: 64 << 30)
    monkeypatch.setattr("isobench.scenarios._pressing.pids_free", lambda: 1e6)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 40}))
    assert _pressing.refuses() == ""
    monkeypatch.setattr(what, value)
    assert words in _pressing.refuses()


def test_the_reserve_of_the_disk_is_kept_where_instances_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine may have its data on a disk of its own; one with a file system of its own has it nowhere here."""
    monkeypatch.undo()
    monkeypatch.setattr("isobench.scenarios._pressing.available_memory", lambda: 64 << 30)
    monkeypatch.setattr("isobench.scenarios._pressing.pids_free", lambda: 1e6)
    data = tmp_path / "data"
    data.mkdir()
    free = {data: 1 << 30}
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free.get(path, 1 << 40)}))

    class Engine(Box):
        def written_to(self) -> Path:
            return data

    assert _pressing.refuses(Box()) == ""  # type: ignore[arg-type]
    assert _pressing.refuses(Engine()) == f"{data} has 1.0 GiB free, and 2 are kept for others"  # type: ignore[arg-type]
    with pytest.raises(StoppedShort, match="are kept for others"):
        BY_NAME["neighbour-fsync"].measure(TimedSandbox(Engine()))  # type: ignore[arg-type]
    data.rmdir()
    assert _pressing.refuses(Engine()) == ""  # type: ignore[arg-type]


def test_which_environments_can_limit_which() -> None:
    """A guest has no limit of processes; a raw process has none at all, and is pressed nevertheless."""
    known = catalog.environments()
    able = {
        name: {one.name for one in neighbours.SCENARIOS if one.needs <= known[name].capabilities}
        for name in ("process", "ns-all+cgroup", "handmade", "docker", "tcg", "docker-readonly")
    }
    assert able["process"] == {one.name for one in neighbours.SCENARIOS if not one.name.endswith("-limited")}
    assert able["docker"] == able["handmade"] == able["ns-all+cgroup"] == set(BY_NAME)
    assert able["tcg"] == set(BY_NAME) - {"neighbour-fork-limited"}
    assert able["docker-readonly"] == set()


def test_the_six_neighbours_of_the_canonical_table_are_there() -> None:
    """Matthews et al. (2007)."""
    told = {one.matthews for one in AGGRESSORS} - {""}
    assert told == {"CPU hog", "memory hog", "fork bomb", "disk", "network sender", "network receiver"}


def _cell(scenario: str, **seen: float) -> CellRecord:
    return CellRecord("process", scenario, 0.0, 10.0, 1.0, {Counter[name]: value for name, value in seen.items()})


def test_an_aggressor_marks_no_block_and_somebody_else_does() -> None:
    """For what it drives itself; for anything else, and beside no aggressor, the block is marked."""
    expected = {name: scenario.expected_interference for name, scenario in BY_NAME.items()}
    alone = _cell("neighbour-none")
    assert marks([alone, _cell("neighbour-cpu", PSI_CPU=9.0)], expected) == []
    assert marks([alone, _cell("neighbour-fsync", PSI_CPU=9.0, PSI_IO=9.0)], expected) == []
    assert marks([alone, _cell("neighbour-cpu-limited", PSI_CPU=9.0, THROTTLED=9.0)], expected) == []
    assert marks([_cell("neighbour-none", PSI_CPU=9.0), _cell("neighbour-cpu")], expected)
    assert marks([alone, _cell("neighbour-cpu", PSI_IO=19.0)], expected)
    assert marks([alone, _cell("neighbour-cpu", STEAL=9.0)], expected)
    assert marks([alone, _cell("neighbour-cache-limited", RECLAIMED=9000.0)], expected)
    assert marks([alone, _cell("neighbour-cpu", THROTTLED=9.0)], expected)
    whole: dict[str, float] = {Counter.BUSY: 19.0, Counter.IDLE: 1.0}
    assert marks([alone, _cell("neighbour-cpu", PSI_CPU=9.0)], expected, whole) == []
    assert "most of it cc1" in marks([alone, _cell("neighbour-cpu", PSI_CPU=9.0)], expected, whole, {"cc1": 3.0})[0]


def test_what_is_recorded_of_it() -> None:
    """Not as a workload's root file system, which the report would take it for."""
    told = BY_NAME["neighbour-fork-limited"].facts(Box())
    assert told["limits"] == "50 % of a CPU, 256 MiB of memory, 64 processes" and "root" not in told
    assert "stress-ng" in told["command"] and told["matthews"] == "fork bomb" and told["programs"] == "abc"
    assert BY_NAME["neighbour-cpu"].facts(Box())["limits"].startswith("none but 512 MiB")
    assert BY_NAME["neighbour-none"].facts(Box(CALLS)) == {}
    without = [*CALLS[:2], {"name": "tcp", "unavailable": "the loopback is down"}]
    assert BY_NAME["neighbour-none"].facts(Box(without)) == {"without.round-trip": "the loopback is down"}
    assert "round-trip" not in BY_NAME["neighbour-none"].measure(Box(without, FIO, REDIS))
