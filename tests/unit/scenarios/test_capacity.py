"""Capacity: where the steps end, and what is told then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest

from isobench.contracts.launch import Launch
from isobench.core.errors import MeasurementError, ProbeError, StoppedShort
from isobench.resources import capacity as room
from isobench.scenarios import capacity
from isobench.scenarios.capacity import BOUND, COUNTS, REQUESTS, UnderLoad
from tests.fake import SayingInstance


class Crowd:
    """Instances that make a victim's requests take longer the more there are: `seconds` for each."""

    def __init__(self, seconds: float, status: int = 0) -> None:
        self.seconds, self.status, self.living = seconds, status, 0
        self.launched: list[Launch] = []

    def daemons(self) -> list[int]:
        return []

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[SayingInstance]:
        self.launched.append(launch)
        self.living += 1
        yield Victim(self) if self.living == 1 else Other(self)
        self.living -= 1


class Other(SayingInstance):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__(b"ready\n")
        self.crowd = crowd

    def wait(self) -> int:
        return self.crowd.status


class Victim(Other):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__(crowd)
        self.stdin = Asked(self)


class Asked(BytesIO):
    """Answers a line at once: more than one request of a hundred is ten times as late as the others."""

    def __init__(self, victim: Victim) -> None:
        super().__init__()
        self.victim = victim

    def write(self, data: object) -> int:
        each = self.victim.crowd.seconds * self.victim.crowd.living * 1e9
        said = json.dumps({"name": "request", "ns": [each] * (REQUESTS - 4) + [10 * each] * 4}).encode()
        ready = b"" if self.victim.stdout.tell() else b"ready\n"
        place = self.victim.stdout.tell()
        self.victim.stdout = BytesIO(b" " * place + ready + said + b"\n")
        self.victim.stdout.seek(place)
        return 1


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host with room, whatever else is done on it meanwhile."""
    monkeypatch.setattr(capacity, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(room.Capacity, "refuses", lambda self, more: "")


def _measure(crowd: Crowd) -> dict[str, float]:
    return dict(UnderLoad().measure(crowd))  # type: ignore[arg-type]


def test_it_goes_on_to_the_first_number_beyond_the_bound() -> None:
    """The 99th percentile counts, not the mean; every instance does the same, and the first one answers, too."""
    crowd = Crowd(BOUND / 10 / 7)
    found = _measure(crowd)
    assert [name for name in found if name.startswith("p99")] == ["p99-1", "p99-2", "p99-4", "p99-8"]
    assert found["p99-8"] == pytest.approx(BOUND * 8 / 7)
    assert set(found) <= {metric.name for metric in UnderLoad.metrics}
    assert len(crowd.launched) == 8
    victim, *others = (launch.arguments for launch in crowd.launched)
    assert {(*one, str(REQUESTS)) for one in others} == {victim}


def test_one_beyond_the_bound_is_the_end() -> None:
    assert [name for name in _measure(Crowd(BOUND)) if name.startswith("p99")] == ["p99-1"]


def test_without_a_bound_it_ends_at_the_last_number() -> None:
    found = _measure(Crowd(BOUND / 10 / 1000))
    assert f"p99-{COUNTS[-1]}" in found


def test_no_room_is_told_with_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No instance is started that the host has no room for."""
    monkeypatch.setattr(room.Capacity, "refuses", lambda self, more: "no memory" if more > 2 else "")
    crowd = Crowd(BOUND / 10 / 1000)
    with pytest.raises(StoppedShort, match="no memory") as stopped:
        _measure(crowd)
    assert "p99-4" in stopped.value.values and "p99-8" not in stopped.value.values
    assert len(crowd.launched) == 4


def test_slow_starts_are_the_end_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "PATIENCE", -1.0)
    with pytest.raises(StoppedShort, match="stopped at 1 instances: they took 0 s") as stopped:
        _measure(Crowd(BOUND / 10 / 1000))
    assert {"p99-1", "memory-1"} <= set(stopped.value.values)


def test_a_load_that_has_ended_early_is_a_failure() -> None:
    """What the victim took beside it would be too little."""
    with pytest.raises(MeasurementError, match="7 of 7 instances beside the victim ended early"):
        _measure(Crowd(BOUND / 10 / 7, status=1))


def test_another_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asked, "write", lambda self, data: 1)
    with pytest.raises(ProbeError):
        _measure(Crowd(BOUND / 10))
