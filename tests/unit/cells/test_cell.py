"""One cell: its values, and what becomes of an error."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from isobench.cells.runner import execute
from isobench.contracts.capabilities import GivesMemory, HasBlindSpots, Part, PublishesPort
from isobench.core.errors import StoppedShort
from isobench.core.model import Metric
from isobench.results import store
from tests.fake import FakeEnvironment, FakeSandbox, FakeScenario
from tests.unit.cells.made import request


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

    writer = execute(request(tmp_path, [WithPort("process")], scenarios=[Asking()]))
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
    run = store.load(execute(asked).path)
    names = {(series.environment, series.metric) for series in run.series}
    assert ("process", "cpu") in names and ("far", "ready") in names and ("far", "cpu") not in names
    said = [(skip.environment, skip.scenario, skip.reason) for skip in run.session.skips]
    assert said == [("far", "fake", "without cpu: the engine is elsewhere")]
