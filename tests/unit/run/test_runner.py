"""The runner with fakes: the plan, what is recorded, what a failure does, when it stops."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.contracts.capabilities import Capability, GivesMemory, HasBlindSpots, Lack, Part, PublishesPort
from isobench.contracts.environment import Environment
from isobench.core.errors import (
    MeasurementError,
    NothingMeasured,
    RequiredMissing,
    StoppedShort,
    Unavailable,
    UsageError,
)
from isobench.core.model import Cell, Metric, Sample
from isobench.host import machine
from isobench.results import store
from isobench.results.record import BlockRecord, FailureRecord, MetricRecord, ScenarioRecord, SkipRecord
from isobench.run import backoff, catalog, runner
from isobench.run.backoff import GIVE_UP_AFTER
from isobench.run.runner import Request, execute, plan
from isobench.workloads.measured import Measured
from isobench.workloads.workload import Command, Root, Workload
from tests.fake import FakeEnvironment, FakeSandbox, FakeScenario
from tests.unit.analysis.made import session as made_session

names = st.lists(st.sampled_from(["process", "chroot", "docker", "tcg"]), min_size=1, unique=True)


@pytest.fixture(autouse=True)
def undisturbed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is; a test of what disturbs says so."""
    if "disturbed" not in request.keywords:
        monkeypatch.setattr(runner, "marks", lambda *_: [])


def request(tmp_path: Path, environments: list[FakeEnvironment], **changes: object) -> Request:
    """A request over fakes, two blocks after the warm-up."""
    workdir = tmp_path / "isobench-20260101T000000Z-abcdef"
    workdir.mkdir(exist_ok=True)
    made = Request(
        run_id="20260101T000000Z-abcdef",
        environments=list[Environment](environments),
        scenarios=[FakeScenario()],  # type: ignore[list-item]
        baseline="process",
        seed=1,
        profile="quick",
        min_blocks=2,
        max_blocks=2,
        max_time=None,
        required=frozenset(),
        results=tmp_path / "results",
        workdir=workdir,
        command=["isobench", "run"],
    )
    return made._replace(**changes)  # type: ignore[arg-type]


@given(names, st.integers(0, 2**32), st.integers(0, 50))
def test_plan_is_a_complete_block(environments: list[str], seed: int, block: int) -> None:
    """Every cell once, the baseline's second copy in every scenario that has the baseline."""
    cells = [Cell(e, s) for e in environments for s in ("startup", "io")]
    order = plan(cells, "process", seed, block)
    controls = [Cell("process@control", s) for s in ("startup", "io")] if "process" in environments else []
    assert sorted(order) == sorted(cells + controls)


@given(names, st.integers(0, 2**32), st.randoms())
def test_plan_depends_on_the_seed_alone(environments: list[str], seed: int, shuffler: object) -> None:
    """The order in which cells are given does not matter (promise G9)."""
    cells = [Cell(e, s) for e in environments for s in ("startup", "io")]
    shuffled = list(cells)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(cells, "process", seed, 3) == plan(shuffled, "process", seed, 3)


def test_plan_differs_from_block_to_block() -> None:
    """Blocks are shuffled anew."""
    cells = [Cell(e, "startup") for e in ("process", "chroot", "ns-all", "docker", "tcg")]
    assert len({tuple(plan(cells, "process", 7, block)) for block in range(20)}) > 10


def test_scenarios_stay_together() -> None:
    """The environments of one scenario follow one another, so that pairs are close in time."""
    cells = [Cell(e, s) for e in ("process", "chroot") for s in ("a", "b", "c")]
    order = [cell.scenario for cell in plan(cells, "process", 5, 1)]
    assert len([1 for x, y in itertools.pairwise(order) if x != y]) == 2


def test_a_run_on_disk(tmp_path: Path) -> None:
    """Every block is saved with its samples, block 0 as a warm-up, and everything is closed."""
    environments = [FakeEnvironment("process", 0.001), FakeEnvironment("docker", 0.2)]
    writer = execute(request(tmp_path, environments))
    run = store.load(writer.path)
    series = {s.environment: s for s in run.series}
    assert set(series) == {"process", "process@control", "docker"}
    assert series["docker"].blocks == [1, 2]
    assert [value for _, value in series["docker"].warmups] == pytest.approx([0.2])
    assert run.session.stopped == "blocks"
    assert run.session.versions["fake"] == "1"
    assert [len(block.cells) for block in run.session.blocks] == [3, 3, 3]
    assert not any(e.open_now or e.living for e in environments)


def test_a_failing_cell_is_recorded_and_the_run_goes_on(tmp_path: Path) -> None:
    """The reason and the console of a failed launch are in the record; other cells are measured."""
    broken = FakeEnvironment("docker", errors={3: MeasurementError("it broke", console="last words")})
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process"), broken])).path)
    assert [(f.block, f.environment, f.reason, f.console) for f in run.session.failures] == [
        (1, "docker", "it broke", "last words")
    ]
    assert {s.environment: s.blocks for s in run.series}["docker"] == [2]


def test_a_cell_that_always_fails_is_given_up(tmp_path: Path) -> None:
    """After three blocks running it is not tried again."""
    errors = {n: MeasurementError("dead") for n in range(2, 50)}
    broken = FakeEnvironment("docker", errors=dict(errors))
    execute(request(tmp_path, [FakeEnvironment("process"), broken], max_blocks=8))
    assert broken.launches == 1 + GIVE_UP_AFTER


def test_a_cell_is_tried_again_after_its_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that comes back is measured again; the record says why its blocks are missing."""
    monkeypatch.setattr(backoff, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(backoff, "PAUSE_FACTOR", 0.0)
    broken = FakeEnvironment("docker", errors={n: MeasurementError("dead") for n in range(2, 7)})
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process"), broken], max_blocks=8)).path)
    assert {s.environment: s.blocks for s in run.series}["docker"] == [5, 6, 7, 8]
    assert [(s.environment, s.reason[-4:]) for s in run.session.skips] == [("docker", "dead")]


def test_a_cell_that_stops_short_keeps_its_values_and_says_why_once(tmp_path: Path) -> None:
    """A host's limit is no failure: the values are kept, and the first reason is told with what could not be run."""

    class Limited(FakeScenario):
        def measure(self, sandbox: FakeSandbox) -> dict[str, float]:
            raise StoppedShort(f"no room, time {next(times)}", super().measure(sandbox))

    times = itertools.count(1)
    asked = request(tmp_path, [FakeEnvironment("process")], scenarios=[Limited()])
    run = store.load(execute(asked).path)
    assert run.session.failures == []
    assert [(s.environment, s.scenario, s.reason) for s in run.session.skips] == [
        ("process", "fake", "no room, time 1")
    ]
    assert {s.environment: s.blocks for s in run.series} == {"process": [1, 2], "process@control": [1, 2]}


@pytest.mark.parametrize(
    "error", [KeyError("resident"), TypeError("a < b"), RecursionError("deep"), ValueError("\ud800")]
)
def test_what_nobody_foresaw_costs_one_cell(tmp_path: Path, error: Exception) -> None:
    """An error of isobench's own in one cell, in its facts and in the environment's is recorded; the run goes on."""

    class Broken(FakeScenario):
        def measure(self, sandbox: FakeSandbox) -> dict[str, float]:
            raise error

        def facts(self, sandbox: FakeSandbox) -> dict[str, str]:
            raise error

    scenarios = [FakeScenario(), Broken("broken")]
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process")], scenarios=scenarios)).path)
    assert {s.scenario: s.blocks for s in run.series} == {"fake": [1, 2]}
    assert {f.scenario for f in run.session.failures} == {"broken"} and len(run.session.failures) == 6
    for told in (run.session.failures[0].reason, run.session.environments[0].facts["broken.facts"]):
        assert f"please report it: {type(error).__name__}: " in told


def test_facts_that_break_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an environment says of itself is asked for with the same care."""

    def broken(self: FakeSandbox) -> dict[str, str]:
        raise IndexError("list index out of range")

    monkeypatch.setattr(FakeSandbox, "facts", broken)
    session = execute(request(tmp_path, [FakeEnvironment("process")])).session
    assert "please report it: IndexError" in session.environments[0].facts["facts"]


def test_an_environment_that_breaks_is_a_skip(tmp_path: Path) -> None:
    """Whatever an engine's library raises while it is opened."""
    odd = FakeEnvironment("docker", unavailable=AttributeError("no such thing"))  # type: ignore[arg-type]
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process"), odd])).path)
    assert [s.environment for s in run.session.skips] == ["docker"]
    assert "AttributeError: no such thing" in run.session.skips[0].reason


@pytest.mark.parametrize("values", [{"ready": 0.0}, {"ready": float("inf")}, {"ready": float("nan")}, {"other": 1.0}])
def test_what_is_no_cost_fails_its_cell(tmp_path: Path, values: dict[str, float]) -> None:
    """The store refuses it: known before it gets there, so that the run goes on."""

    class Odd(FakeScenario):
        def measure(self, sandbox: FakeSandbox) -> dict[str, float]:
            return values

    scenarios = [FakeScenario(), Odd("odd")]
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process")], scenarios=scenarios)).path)
    assert {f.scenario for f in run.session.failures} == {"odd"}
    assert {s.scenario for s in run.series} == {"fake"}


def test_rungs_beneath_are_recorded(tmp_path: Path) -> None:
    """What lies between two measured rungs is known by name, though it was not run."""
    between = FakeEnvironment("ns-all")
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process")], beneath=[between])).path)
    assert [e.name for e in run.session.beneath] == ["ns-all"]
    assert between.launches == 0


def test_an_unavailable_environment_is_a_skip(tmp_path: Path) -> None:
    """Its reason and its remedy are in the record."""
    absent = FakeEnvironment("docker", unavailable=Unavailable("no engine", remedy="install one"))
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process"), absent])).path)
    assert [(s.environment, s.reason, s.remedy) for s in run.session.skips] == [("docker", "no engine", "install one")]


def test_a_required_environment_that_is_missing_ends_the_run(tmp_path: Path) -> None:
    """Nothing is measured then."""
    absent = FakeEnvironment("docker", unavailable=Unavailable("no engine"))
    with pytest.raises(RequiredMissing, match="no engine"):
        execute(request(tmp_path, [FakeEnvironment("process"), absent], required=frozenset({"docker"})))


def test_nothing_measured(tmp_path: Path) -> None:
    """A run without a single sample says why."""
    absent = FakeEnvironment("process", unavailable=Unavailable("no probe"))
    with pytest.raises(NothingMeasured, match="no probe"):
        execute(request(tmp_path, [absent]))


def test_an_interruption_keeps_the_finished_blocks(tmp_path: Path) -> None:
    """Ctrl-C loses the block it falls into; the record says that the run was interrupted."""

    class Interrupting(FakeEnvironment):
        @property
        def seconds(self) -> float:
            if self.launches > 4:
                raise KeyboardInterrupt
            return 0.001

        @seconds.setter
        def seconds(self, value: float) -> None: ...

    environment = Interrupting("process")
    with pytest.raises(KeyboardInterrupt):
        execute(request(tmp_path, [environment], max_blocks=50))
    run = store.load(next(store.find_runs(tmp_path / "results")))
    assert run.session.stopped == "interrupted"
    assert len(run.session.blocks) >= 1
    assert not environment.open_now and environment.living == 0


def test_setting_up_is_timed_and_what_is_left_is_recorded(tmp_path: Path) -> None:
    """Opening takes time, of a skipped environment none is told; the sweep comes after everything is closed."""
    environments = [FakeEnvironment("process"), FakeEnvironment("kvm", unavailable=Unavailable("no"))]
    swept: list[tuple[str, bool]] = []

    def sweep(run: str) -> list[str]:
        swept.append((run, environments[0].open_now))
        return ["container abc"]

    session = store.load(execute(request(tmp_path, environments, sweep=sweep)).path).session
    seconds = {e.name: e.opened_seconds for e in session.environments}
    assert seconds["process"] > 0 and seconds["kvm"] == 0
    assert session.left_behind == ["container abc"]
    assert swept == [("isobench-20260101T000000Z-abcdef", False)]


def test_a_scenario_without_metrics_tells_facts_only(tmp_path: Path) -> None:
    """It has no cell in a block, and its facts stand with the environment."""

    class Look(FakeScenario):
        metrics = ()  # type: ignore[assignment]

        def facts(self, sandbox: FakeSandbox) -> dict[str, str]:
            return {"seen": "1"}

    environments, scenarios = [FakeEnvironment("process")], [FakeScenario(), Look("look")]
    session = store.load(execute(request(tmp_path, environments, scenarios=scenarios)).path).session
    assert {cell.scenario for block in session.blocks for cell in block.cells} == {"fake"}
    assert session.environments[0].facts["look.seen"] == "1"


@pytest.mark.disturbed
@pytest.mark.parametrize(
    ("counter", "change", "said"),
    [
        ("cpus_online", -1.0, "a CPU went off or on line"),
        ("clock_step_seconds", 3.0, "the clock was set"),
        ("suspended_seconds", 60.0, "the machine was suspended"),
    ],
)
def test_what_happens_between_two_cells_marks_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counter: str, change: float, said: str
) -> None:
    """A change while no cell is measured, between the second block and the third, is seen by the third as a whole."""
    now = {"cpus_online": 4.0, "clock_step_seconds": 0.0, "suspended_seconds": 0.0}
    monkeypatch.setattr(machine, "read", lambda: dict(now))

    class Between(runner.Observer):
        def block_begins(self, index: int, last: int, seconds_left: float | None) -> None:
            if index == 2:
                now[counter] += change

    writer = runner.execute(request(tmp_path, [FakeEnvironment("process")]), None, Between())
    marked = {block.index: block.marks for block in store.load_session(writer.path).blocks if block.marks}
    assert list(marked) == [2] and marked[2][0].startswith(said)


def _disturbed(monkeypatch: pytest.MonkeyPatch, blocks: set[int]) -> None:
    """These blocks, 0 being the warm-up, are marked."""
    taken = iter(range(1000))
    monkeypatch.setattr(runner, "marks", lambda *_: ["tasks waited"] if next(taken) in blocks else [])


def test_a_block_that_is_left_out_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until as many as were asked for can be used."""
    _disturbed(monkeypatch, {0, 2, 3})
    writer = execute(request(tmp_path, [FakeEnvironment("process")], min_blocks=6, max_blocks=6))
    session = store.load(writer.path).session
    assert [block.index for block in session.blocks if block.index and not block.marks] == [1, 4, 5, 6, 7, 8]
    assert session.stopped == "blocks"


def test_a_host_that_is_never_quiet_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After half as many blocks again, and the record says why."""
    _disturbed(monkeypatch, set(range(1000)))
    writer = execute(request(tmp_path, [FakeEnvironment("process")], min_blocks=6, max_blocks=6))
    session = store.load(writer.path).session
    assert (len(session.blocks), session.stopped) == (1 + 9, "disturbed")


def test_fios_version_is_recorded_where_fio_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every environment with the root file system, whatever its mechanism tells of itself, and of no other."""
    monkeypatch.setattr(runner, "fio_fact", lambda: {"version.fio": "fio-9.99"})
    rooted = FakeEnvironment("rooted")
    rooted.capabilities = frozenset({*rooted.capabilities, Capability.ROOTFS})
    session = runner.execute(request(tmp_path, [FakeEnvironment("process"), rooted])).session
    assert [environment.facts.get("version.fio") for environment in session.environments] == [None, "fio-9.99"]
    assert session.versions["fio"] == "fio-9.99"


def test_the_program_is_part_of_what_a_trend_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which probe was measured is recorded; where only a null kernel runs, there is none."""
    monkeypatch.setattr(runner, "probe_fact", lambda: {"version.probe": "0123abcd"})
    null = FakeEnvironment("null")
    null.capabilities = frozenset({Capability.READY})
    session = runner.execute(request(tmp_path, [FakeEnvironment("process"), null])).session
    assert [environment.facts.get("version.probe") for environment in session.environments] == ["0123abcd", None]
    assert session.fingerprint["probe"] == "0123abcd"


def test_a_scenario_sees_what_a_sandbox_has_beside_the_protocol(tmp_path: Path) -> None:
    """A published port, a guest's memory: the runner's own sandbox is between, and hides nothing."""

    class Published(FakeSandbox):
        published_port = 7001

    class WithPort(FakeEnvironment):
        @contextmanager
        def open(self, workdir: Path) -> Iterator[FakeSandbox]:
            yield Published(self)

    class Asking(FakeScenario):
        def measure(self, sandbox: FakeSandbox) -> Mapping[str, float]:
            port = sandbox.published_port if isinstance(sandbox, PublishesPort) else 0
            return {"ready": port / 7001 + isinstance(sandbox, GivesMemory | HasBlindSpots)}

    writer = runner.execute(request(tmp_path, [WithPort("process")], scenarios=[Asking()]))
    assert {value for series in writer.clean_series for value in series.values} == {1.0}


def test_what_cannot_be_seen_is_absent_with_its_reason(tmp_path: Path) -> None:
    """Not zero, and not without a word: the other metrics of the cell are there."""

    class Far(FakeSandbox):
        def unseen(self) -> Mapping[Part, str]:
            return {Part.DAEMONS: "the engine is elsewhere"}

    class FarAway(FakeEnvironment):
        @contextmanager
        def open(self, workdir: Path) -> Iterator[FakeSandbox]:
            yield Far(self)

    class Two(FakeScenario):
        metrics = (*FakeScenario.metrics, Metric("cpu", "second", "CPU time"))  # type: ignore[assignment]
        sees: Mapping[Part, tuple[str, ...]] = {Part.DAEMONS: ("cpu*",)}

        def measure(self, sandbox: FakeSandbox) -> Mapping[str, float]:
            return {**super().measure(sandbox), "cpu": 1.0}

    asked = request(tmp_path, [FakeEnvironment("process"), FarAway("far")], scenarios=[Two()])
    run = store.load(runner.execute(asked).path)
    names = {(series.environment, series.metric) for series in run.series}
    assert ("process", "cpu") in names and ("far", "ready") in names and ("far", "cpu") not in names
    said = [(skip.environment, skip.scenario, skip.reason) for skip in run.session.skips]
    assert said == [("far", "fake", "without cpu: the engine is elsewhere")]


def test_what_the_host_lacks_costs_the_scenario_that_needs_it(tmp_path: Path) -> None:
    """Told for each environment that it would have been measured in; alone, nothing is measured, for that reason."""

    class Lacking(FakeScenario):
        def lacks(self) -> Lack | None:
            return Lack("this host has no fio", "apt-get install fio")

    environments = [FakeEnvironment("process"), FakeEnvironment("other")]
    run = store.load(execute(request(tmp_path, environments, scenarios=[FakeScenario(), Lacking("io")])).path)
    told = [(s.environment, s.scenario, s.reason, s.remedy) for s in run.session.skips]
    assert told == [(e, "io", "this host has no fio", "apt-get install fio") for e in ("process", "other")]
    assert not run.session.failures and {s.scenario for s in run.series} == {"fake"}
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(NothingMeasured, match="no fio"):
        execute(request(again, environments, scenarios=[Lacking("io")]))


class _Interrupt(runner.Observer):
    """Ctrl-C after this block."""

    def __init__(self, after: int) -> None:
        self.after = after

    def block_ends(self, block: object, writer: store.RunWriter) -> None:
        if writer.blocks - 1 == self.after:
            raise KeyboardInterrupt


def _interrupted(tmp_path: Path, after: int, **changes: object) -> Request:
    """A request that goes on with a run that was interrupted after this block of six."""
    environments = [FakeEnvironment("process"), FakeEnvironment("chroot"), FakeEnvironment("kvm", unavailable=GONE)]
    asked = request(tmp_path, environments, min_blocks=6, max_blocks=6, **changes)
    with pytest.raises(KeyboardInterrupt):
        execute(asked, None, _Interrupt(after))
    (path,) = store.find_runs(tmp_path / "results")
    return asked._replace(environments=environments[:2], before=store.load(path), required=frozenset({"chroot"}))


def _go_on(again: Request, observer: runner.Observer | None = None) -> store.RunWriter:
    """Execute with a work folder of its own, as every command has."""
    folder = again.results.parent / f"work-{len(list(again.results.parent.iterdir()))}"
    folder.mkdir()
    return execute(again._replace(workdir=folder), None, observer)


GONE = Unavailable("there is no kvm")


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_run_goes_on_as_if_it_had_never_ended(tmp_path: Path, after: int) -> None:
    """Numbers, orders, seed and values are those of a run that was not interrupted; one record in one folder."""
    whole = store.load(execute(_plain(tmp_path / "whole")).path)
    (tmp_path / "broken").mkdir()
    again = _interrupted(tmp_path / "broken", after)
    writer = _go_on(again)
    assert list(store.find_runs(tmp_path / "broken" / "results")) == [writer.path]
    run = store.load(writer.path)
    assert [block.index for block in run.session.blocks] == [0, 1, 2, 3, 4, 5, 6]
    assert run.series == whole.series
    for one, other in zip(run.session.blocks, whole.session.blocks, strict=True):
        assert [cell[:2] for cell in map(msgspec.structs.astuple, one.cells)] == [
            cell[:2] for cell in map(msgspec.structs.astuple, other.cells)
        ]
    starts = [cell.started for block in run.session.blocks for cell in block.cells]
    assert starts == sorted(starts)
    session = run.session
    assert session.stopped == "blocks" and session.finished >= session.started
    assert [one.block for one in session.resumed] == [after + 1]
    assert [skip.environment for skip in session.skips] == ["kvm"]
    assert {file.name for file in writer.path.iterdir()} == {"session.json", "suite.json"}


@pytest.mark.parametrize(("ended", "limit", "measured"), [("disturbed", None, 9), ("max-time", 0.0, 0)])
def test_a_run_that_ended_early_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str, limit: float | None, measured: int
) -> None:
    """Whether blocks were disturbed or the time was up, it gets the blocks it lacks; disturbed ones are replaced."""
    _disturbed(monkeypatch, {*range(measured + 1), measured + 2})  # and the first block after the second warm-up
    asked = request(tmp_path, [FakeEnvironment("process")], min_blocks=6, max_blocks=6, max_time=limit)
    try:
        execute(asked)
    except NothingMeasured as error:
        assert "--max-time" in error.reason and "run --resume" in error.remedy
    (path,) = store.find_runs(tmp_path / "results")
    first = store.load(path)
    assert (first.session.stopped, len(first.session.blocks)) == (ended, 1 + measured)
    run = store.load(_go_on(asked._replace(before=first, max_time=None)).path)
    used = [block.index for block in run.session.blocks if block.index and not block.marks]
    assert (run.session.stopped, used) == ("blocks", [measured + n for n in range(2, 8)])


def test_a_run_that_was_killed_before_its_first_block_goes_on(tmp_path: Path) -> None:
    """It has a record and an empty journal, and begins with its warm-up block."""

    class Kill(runner.Observer):
        def begins(self, writer: store.RunWriter) -> None:
            writer._journal.close()  # its lock goes with a process that was killed
            raise KeyboardInterrupt

    asked = request(tmp_path, [FakeEnvironment("process")])
    with pytest.raises(KeyboardInterrupt):
        execute(asked, None, Kill())
    (path,) = store.find_runs(tmp_path / "results")
    assert (path / "journal.jsonl").exists()
    writer = _go_on(asked._replace(before=store.load(path)))
    session = store.load(writer.path).session
    assert writer.path == path and [block.index for block in session.blocks] == [0, 1, 2]


def _plain(folder: Path) -> Request:
    folder.mkdir()
    environments = [FakeEnvironment("process"), FakeEnvironment("chroot"), FakeEnvironment("kvm", unavailable=GONE)]
    return request(folder, environments, min_blocks=6, max_blocks=6)


def test_a_run_can_be_interrupted_again_and_killed(tmp_path: Path) -> None:
    """Each time it goes on where it was; what a kill leaves is a journal with all of it."""
    again = _interrupted(tmp_path, 2)
    with pytest.raises(KeyboardInterrupt):
        _go_on(again, _Interrupt(4))
    (path,) = store.find_runs(tmp_path / "results")
    writer = store.RunWriter(tmp_path, (run := store.load(path)).session, {("fake", "ready"): "second"}, run)
    killed = tmp_path / "killed"
    shutil.copytree(path, killed)  # the journal, as a kill would leave it
    writer.finish()
    assert [block.index for block in store.load(killed).session.blocks] == [0, 1, 2, 3, 4]
    last = _go_on(again._replace(before=store.load(killed)))
    assert [block.index for block in store.load(last.path).session.blocks] == [0, 1, 2, 3, 4, 5, 6]
    assert last.path == killed and [one.block for one in store.load(killed).session.resumed] == [3, 5]


@pytest.mark.parametrize(
    ("fact", "said"),
    [("kernel", "kernel was 6.1, is 6.9"), ("version.fake", "fake was 1, is 2"), ("isobench", "isobench was ")],
)
def test_a_run_does_not_go_on_with_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fact: str, said: str
) -> None:
    """Another kernel, engine, probe or isobench: the difference would be taken for a cost. The run stays as it was."""
    monkeypatch.setattr(machine, "fingerprint", lambda: {"kernel": "6.1"})
    again = _interrupted(tmp_path, 2)
    if fact == "kernel":
        monkeypatch.setattr(machine, "fingerprint", lambda: {"kernel": "6.9"})
    elif fact == "isobench":
        monkeypatch.setattr("isobench.__version__", "another")
    else:
        monkeypatch.setattr(FakeSandbox, "facts", lambda self: {"version.fake": "2"})
    assert again.before is not None
    files = {file.name: file.read_bytes() for file in again.before.path.iterdir()}
    with pytest.raises(UsageError, match=said):
        _go_on(again)
    assert {file.name: file.read_bytes() for file in again.before.path.iterdir()} == files


def test_a_run_does_not_go_on_without_an_environment(tmp_path: Path) -> None:
    """What was measured before has to be there."""
    again = _interrupted(tmp_path, 2)
    broken = [again.environments[0], FakeEnvironment("chroot", unavailable=Unavailable("it is gone"))]
    with pytest.raises(RequiredMissing, match="it is gone"):
        _go_on(again._replace(environments=list[Environment](broken)))


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


def test_who_runs_no_programs_is_told() -> None:
    """Of workloads alone; another scenario that does not apply is left out without a word, as ever."""
    workload = Measured(Workload("mine", "mine", lambda: Root(Path()), Command(("x",))))
    plain, able = FakeEnvironment("plain"), FakeEnvironment("able")
    able.capabilities |= {Capability.COMMAND}
    scenarios = [workload, catalog.scenarios()["io"]]
    assert runner._unfit(scenarios, [plain, able]) == [SkipRecord("plain", "mine", "it runs no programs but the probe")]
