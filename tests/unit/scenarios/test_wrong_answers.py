"""Every scenario that reads an instance's answers, given well-formed JSON of the wrong type or number.

Whatever it is, the cell fails with a reason: never a sample, never an error of isobench's own.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.capabilities import Capability
from isobench.core.errors import MeasurementError
from isobench.planning.catalog import scenarios
from isobench.scenarios import _commands, _pressing, capacity
from tests.fake import SayingSandbox

READING = [scenario for scenario in scenarios().values() if Capability.PROBE in scenario.needs]
TIMES: list[Any] = [["a"], [None], [[1]], {}, 7]
TEXTS: list[Any] = [None, [1]]
JOBS: list[Any] = [None, 7, "x", [7], [[]], [{"jobname": []}], {"a": 1}]
SAID: list[list[Any]] = [
    [],
    [{}],
    [{}, {}],
    *([{}, {"name": name, "ns": ns}] for name in ("tcp", "create", "getppid") for ns in TIMES),
    [{}, {"name": ["tcp"], "ns": [1]}],
    [{"name": None, "ns": [True]}],
    *([{"folders": odd, "file system": odd}] for odd in TEXTS),
    [{"cold": "fio"}],
    [{"warm": "fio", "resident": 0}],
    [{"cold": "fio", "resident": None, "pages": "7"}],
    *([{"jobs": odd}] for odd in JOBS),
    [{"fio version": 7, "jobs": [{"jobname": "randread-4k-qd1", "error": "x"}]}],
    [{"total": "1"}],
    [{"total": 1}, {"touched": None}],
    [{"bytes": "1", "resident": []}],
    [{"tcp": "x", "udp": [], "token": 7, "addresses": 7}],
    [{"tcp": 1, "udp": 1, "token": "00\0", "addresses": ["\0"]}],
    [{"effective": [], "namespaces": 7, "limits": "x"}],
]


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root file systems of aggressors are not made, nothing is written back, and no load has to settle."""
    monkeypatch.setattr(capacity, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(_commands, "made", lambda *packages: Path("/cache/workload-abc/root.tar"))
    monkeypatch.setattr(_pressing, "refuses", lambda sandbox=None: "")
    monkeypatch.setattr(os, "sync", lambda: None)


def test_there_are_scenarios_to_ask() -> None:
    """The list above is not empty by a slip."""
    assert {"net", "io", "io-meta", "io-copy-up", "io-buffered", "syscall", "memory-touch", "sharing", "surface"} <= {
        scenario.name for scenario in READING
    }


@pytest.mark.parametrize("name", ["syscall", "net", "surface"])
def test_what_is_not_there_has_a_name(name: str) -> None:
    """An operation that is said to be missing and is not named: facts that are not known."""
    with pytest.raises(MeasurementError):
        scenarios()[name].facts(SayingSandbox([{"name": 7, "unavailable": 1}]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("said", SAID, ids=lambda said: json.dumps(said)[:60])
@pytest.mark.parametrize("scenario", READING, ids=lambda scenario: scenario.name)
def test_a_wrong_answer_is_the_failure_of_its_cell(scenario: Any, said: list[Any]) -> None:
    """Of measuring, and of asking for facts."""
    if scenario.metrics:
        with pytest.raises(MeasurementError):
            scenario.measure(SayingSandbox(said))
    if hasattr(scenario, "facts") and scenario.name not in ("io", "memory-touch"):
        with suppress(MeasurementError):
            scenario.facts(SayingSandbox(said))
