"""The runner with fakes: what is recorded, what a failure does, when it stops, how it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from isobench.cells import backoff
from isobench.cells.backoff import GIVE_UP_AFTER
from isobench.cells.observer import Observer
from isobench.cells.runner import execute
from isobench.contracts.environment import Environment
from isobench.core.errors import MeasurementError, NothingMeasured, RequiredMissing, Unavailable
from isobench.host import machine
from isobench.planning.plan import Request
from isobench.results import store
from tests.fake import FakeEnvironment, FakeScenario
from tests.unit.cells.made import GONE, Interrupt, disturb, interrupted, request, resume


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


def test_nothing_measured(tmp_path: Path) -> None:
    """A run without a single sample says why."""
    absent = FakeEnvironment("process", unavailable=Unavailable("no probe"))
    with pytest.raises(NothingMeasured, match="no probe"):
        execute(request(tmp_path, [absent]))


def test_only_facts(tmp_path: Path) -> None:
    """A scenario without metrics applies, and there are no figures to conclude from: the message says what to add."""
    scenario = FakeScenario()
    scenario.metrics = ()  # type: ignore[assignment]
    scenario.measure = lambda sandbox: {}  # type: ignore[method-assign]
    with pytest.raises(NothingMeasured, match="record facts, no figures: add one that measures"):
        execute(request(tmp_path, [FakeEnvironment("process")], scenarios=[scenario]))


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


@pytest.mark.disturbed
@pytest.mark.parametrize(
    ("counter", "change", "said"),
    [
        ("cpus_online", -1.0, "a CPU went off or on line (1)"),
        ("clock_step_seconds", 3.0, "the clock was set (3.00 s)"),
        ("suspended_seconds", 60.0, "the machine was suspended (60.00 s)"),
    ],
)
def test_what_happens_between_two_cells_marks_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counter: str, change: float, said: str
) -> None:
    """A change while no cell is measured, between the second block and the third, is seen by the third as a whole."""
    now = {"cpus_online": 4.0, "clock_step_seconds": 0.0, "suspended_seconds": 0.0}
    monkeypatch.setattr(machine, "read", lambda: dict(now))

    class Between(Observer):
        def block_begins(self, index: int, last: int, seconds_left: float | None) -> None:
            if index == 2:
                now[counter] += change

    writer = execute(request(tmp_path, [FakeEnvironment("process")]), None, Between())
    marked = {block.index: block.marks for block in store.load_session(writer.path).blocks if block.marks}
    assert list(marked) == [2] and marked[2][0].startswith(said)


def test_a_block_that_is_left_out_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until as many as were asked for can be used."""
    disturb(monkeypatch, {0, 2, 3})
    writer = execute(request(tmp_path, [FakeEnvironment("process")], min_blocks=6, max_blocks=6))
    session = store.load(writer.path).session
    assert [block.index for block in session.blocks if block.index and not block.marks] == [1, 4, 5, 6, 7, 8]
    assert session.stopped == "blocks"


def test_a_host_that_is_never_quiet_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After half as many blocks again, and the record says why."""
    disturb(monkeypatch, set(range(1000)))
    writer = execute(request(tmp_path, [FakeEnvironment("process")], min_blocks=6, max_blocks=6))
    session = store.load(writer.path).session
    assert (len(session.blocks), session.stopped) == (1 + 9, "disturbed")


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_run_goes_on_as_if_it_had_never_ended(tmp_path: Path, after: int) -> None:
    """Numbers, orders, seed and values are those of a run that was not interrupted; one record in one folder."""
    whole = store.load(execute(_plain(tmp_path / "whole")).path)
    (tmp_path / "broken").mkdir()
    again = interrupted(tmp_path / "broken", after)
    writer = resume(again)
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
    disturb(monkeypatch, {*range(measured + 1), measured + 2})  # and the first block after the second warm-up
    asked = request(tmp_path, [FakeEnvironment("process")], min_blocks=6, max_blocks=6, max_time=limit)
    try:
        execute(asked)
    except NothingMeasured as error:
        assert "--max-time" in error.reason and "run --resume" in error.remedy
    (path,) = store.find_runs(tmp_path / "results")
    first = store.load(path)
    assert (first.session.stopped, len(first.session.blocks)) == (ended, 1 + measured)
    run = store.load(resume(asked._replace(before=first, max_time=None)).path)
    used = [block.index for block in run.session.blocks if block.index and not block.marks]
    assert (run.session.stopped, used) == ("blocks", [measured + n for n in range(2, 8)])


def test_a_run_that_was_killed_before_its_first_block_goes_on(tmp_path: Path) -> None:
    """It has a record and an empty journal, and begins with its warm-up block."""

    class Kill(Observer):
        def begins(self, writer: store.RunWriter) -> None:
            writer._journal.close()  # its lock goes with a process that was killed
            raise KeyboardInterrupt

    asked = request(tmp_path, [FakeEnvironment("process")])
    with pytest.raises(KeyboardInterrupt):
        execute(asked, None, Kill())
    (path,) = store.find_runs(tmp_path / "results")
    assert (path / "journal.jsonl").exists()
    writer = resume(asked._replace(before=store.load(path)))
    session = store.load(writer.path).session
    assert writer.path == path and [block.index for block in session.blocks] == [0, 1, 2]


def _plain(folder: Path) -> Request:
    folder.mkdir()
    environments = [FakeEnvironment("process"), FakeEnvironment("chroot"), FakeEnvironment("kvm", unavailable=GONE)]
    return request(folder, environments, min_blocks=6, max_blocks=6)


def test_a_run_can_be_interrupted_again_and_killed(tmp_path: Path) -> None:
    """Each time it goes on where it was; what a kill leaves is a journal with all of it."""
    again = interrupted(tmp_path, 2)
    with pytest.raises(KeyboardInterrupt):
        resume(again, Interrupt(4))
    (path,) = store.find_runs(tmp_path / "results")
    writer = store.RunWriter(tmp_path, (run := store.load(path)).session, {("fake", "ready"): "second"}, run)
    killed = tmp_path / "killed"
    shutil.copytree(path, killed)  # the journal, as a kill would leave it
    writer.finish()
    assert [block.index for block in store.load(killed).session.blocks] == [0, 1, 2, 3, 4]
    last = resume(again._replace(before=store.load(killed)))
    assert [block.index for block in store.load(last.path).session.blocks] == [0, 1, 2, 3, 4, 5, 6]
    assert last.path == killed and [one.block for one in store.load(killed).session.resumed] == [3, 5]


def test_a_run_does_not_go_on_without_an_environment(tmp_path: Path) -> None:
    """What was measured before has to be there."""
    again = interrupted(tmp_path, 2)
    broken = [again.environments[0], FakeEnvironment("chroot", unavailable=Unavailable("it is gone"))]
    with pytest.raises(RequiredMissing, match="it is gone"):
        resume(again._replace(environments=list[Environment](broken)))
