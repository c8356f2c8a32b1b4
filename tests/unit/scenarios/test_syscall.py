"""The syscall scenarios against a sandbox that answers what the test wants."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.contracts.launch import Launch
from isobench.core.errors import ProbeError
from isobench.scenarios.syscall import MEANINGS, SCENARIOS, Syscall, nearest_rank

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Instance:
    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self.stdout = io.BytesIO(b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in answers))

    def wait(self) -> int:
        return 0


class _Sandbox:
    """Answers one launch after the other from a list, and remembers what it was asked."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.launched: list[tuple[str, ...]] = []
        self._answers = list(answers)

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[_Instance]:
        self.launched.append(launch.arguments)
        yield _Instance(self._answers.pop(0))


ABOUT = {"kernel": "6.1", "clocksource": "hpet", "seccomp": 2, "batch_ns": 100000, "meltdown": "Mitigation: PTI"}


def _scenario(*operations: str, quantiles: bool = False) -> Syscall:
    return Syscall("syscall", "System calls", operations, quantiles=quantiles)


def _measure(scenario: Syscall, *answers: dict[str, Any]) -> dict[str, float]:
    return dict(scenario.measure(_Sandbox([ABOUT, *answers])))  # type: ignore[arg-type]


def test_a_sample_is_the_median_of_the_batches_in_seconds() -> None:
    """Nanoseconds of each batch become the median in seconds."""
    values = _measure(
        _scenario("getppid", "stat"), {"name": "getppid", "ns": [80, 90, 700.5]}, {"name": "stat", "ns": [5]}
    )
    assert values == {"getppid": pytest.approx(90e-9), "stat": pytest.approx(5e-9)}


def test_an_operation_that_does_not_exist_there_is_left_out() -> None:
    """No value is made up for an operation that the instance forbids."""
    values = _measure(
        _scenario("getppid", "mount"), {"name": "getppid", "ns": [80]}, {"name": "mount", "unavailable": "no"}
    )
    assert set(values) == {"getppid"}


@pytest.mark.parametrize("ns", [[], [0], [-1.0, 2.0], ["5"], [True], None, 7])
def test_times_that_are_not_positive_are_an_error(ns: object) -> None:
    """A zero, a negative or no number never becomes a sample."""
    with pytest.raises(ProbeError, match="positive"):
        _measure(_scenario("getppid"), {"name": "getppid", "ns": ns})


def test_an_operation_nobody_asked_for_is_an_error() -> None:
    """An answer about something else is not taken for a metric."""
    with pytest.raises(ProbeError, match="was not requested"):
        _measure(_scenario("getppid"), {"name": "stat", "ns": [5]})


@given(st.lists(st.floats(0.1, 1e9), min_size=1, max_size=100))
def test_median_p95_and_p99_are_in_order_and_declared(ns: list[float]) -> None:
    """The three values of one operation ascend, lie within the batches, and each has its metric."""
    scenario = _scenario("getppid", quantiles=True)
    values = _measure(scenario, {"name": "getppid", "ns": ns})
    assert set(values) == {metric.name for metric in scenario.metrics}
    middle, p95, p99 = (values[name] * 1e9 for name in ("getppid", "getppid.p95", "getppid.p99"))
    assert middle == pytest.approx(median(ns))
    assert middle <= p95 * (1 + 1e-12) and p95 <= p99 <= max(ns) * (1 + 1e-12)


def test_nearest_rank_is_a_measured_value() -> None:
    """With a hundred values p99 is the ninety-ninth; with few it is the largest."""
    assert nearest_rank(range(1, 101), 0.99) == 99
    assert nearest_rank([3.0, 1.0, 2.0], 0.95) == 3.0


def test_facts_name_the_kernel_the_clock_and_what_is_missing() -> None:
    """What an instance says about itself goes into the facts, an unstable clock with a warning."""
    answers: list[dict[str, Any]] = [
        ABOUT,
        {"name": "getppid", "ns": [1]},
        {"name": "mount", "unavailable": "Operation not permitted"},
    ]
    sandbox = _Sandbox([ABOUT], answers)
    facts = _scenario("getppid", "mount").facts(sandbox)  # type: ignore[arg-type]
    assert facts["kernel"] == "6.1"
    assert facts["mitigations"] == "meltdown: Mitigation: PTI"
    assert "hpet" in facts["clock"]
    assert facts["without.mount"] == "Operation not permitted"
    assert sandbox.launched[0] == ("syscall", "about")


def test_one_scenario_is_usual_and_the_full_ones_are_asked_for() -> None:
    """A plain run takes the short list; every operation is in the full one, with p95 and p99."""
    assert [scenario.name for scenario in SCENARIOS if "default" in scenario.groups] == ["syscall"]
    everything = next(scenario for scenario in SCENARIOS if scenario.name == "syscall-all")
    assert len(everything.metrics) == 3 * len(MEANINGS)
