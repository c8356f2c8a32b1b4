"""Monitoring: how old a reading is, and what of it there is without a process or without anybody who tells."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from isobench.core.errors import StoppedShort
from isobench.processes.accounting import cpu_seconds
from isobench.resources.use import Use
from isobench.scenarios import monitoring
from isobench.scenarios.monitoring import Monitoring, when
from tests.fake import SayingInstance

SAID = b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in ({"burning": 1}, {"stall": 1}, {"work": 1}))


class Told(SayingInstance):
    """An instance that is this process, and tells the CPU time of that."""

    pids: tuple[int, ...] = (os.getpid(),)
    use_told_by = "a test"

    def host_pids(self) -> dict[int, Any]:
        return dict.fromkeys(self.pids, "payload")

    def use(self) -> Use:
        return Use(cpu_seconds(os.getpid()), 1)


class Unseen(Told):
    pids = ()


class Box:
    def __init__(self, kind: type[SayingInstance]) -> None:
        self.kind = kind

    def daemons(self) -> list[int]:
        return []

    @contextmanager
    def launch(self, launch: object) -> Iterator[SayingInstance]:
        yield self.kind(SAID)


def test_a_clock_is_looked_up_between_two_looks() -> None:
    """Before the first look it is the first, after the last the last, and a clock that stood still had it early."""
    seen = [(10.0, 1.0), (12.0, 2.0), (13.0, 2.0), (14.0, 3.0)]
    assert when(seen, 1.5) == 11.0 and when(seen, 2.5) == 13.5
    assert when(seen, 2.0) == 12.0
    assert when(seen, 0.5) == 10.0 and when(seen, 9.0) == 14.0


def test_each_metric_is_there() -> None:
    """Of this process, which is busy with the reading itself."""
    found = Monitoring().measure(Box(Told))  # type: ignore[arg-type]
    assert set(found) == {metric.name for metric in Monitoring.metrics}
    assert found["read"] > 0 and found["cpu"] > 0
    assert Monitoring().facts(Box(Told)) == {"reads": "a test"}  # type: ignore[arg-type]


def test_without_a_process_there_is_no_age() -> None:
    """An engine on another machine tells its use all the same."""
    assert set(Monitoring().measure(Box(Unseen))) == {"read", "cpu"}  # type: ignore[arg-type]


def test_whoever_tells_nothing_is_left_out() -> None:
    with pytest.raises(StoppedShort, match="nothing tells") as stopped:
        Monitoring().measure(Box(SayingInstance))  # type: ignore[arg-type]
    assert stopped.value.values == {}
    assert Monitoring().facts(Box(SayingInstance)) == {"reads": "nothing"}  # type: ignore[arg-type]


def test_a_reading_of_the_past_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that tells what it saw when the program was idle: it is as old as the program is busy."""
    first = Use(cpu_seconds(os.getpid()), 1)
    monkeypatch.setattr(Told, "use", lambda self: first)
    monkeypatch.setattr(monitoring, "READINGS", 3)
    assert Monitoring().measure(Box(Told))["age"] > 3 * monitoring._GLANCE  # type: ignore[arg-type]
