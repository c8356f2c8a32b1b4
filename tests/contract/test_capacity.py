"""Capacity on real instances: each is under load, the bound ends it, and nothing is left of them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import pytest

from isobench.core.errors import StoppedShort
from isobench.processes.accounting import descendants
from isobench.scenarios import capacity
from isobench.scenarios.capacity import UnderLoad
from tests.busy import once
from tests.contract.opening import GUEST, opened

NAMES = [
    "process",
    pytest.param("ns-all+cgroup", marks=pytest.mark.root),
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param(GUEST, marks=pytest.mark.libvirt),
]


@pytest.mark.parametrize("name", NAMES)
def test_more_instances_take_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three take about three times the CPU time of one; a bound that nothing meets ends it at once."""
    monkeypatch.setattr(capacity, "COUNTS", (1, 3))
    monkeypatch.setattr(capacity, "ROUNDS", 100_000)  # work that counts beside waking up, and that three have room for
    monkeypatch.setattr(capacity, "REQUESTS", 100)
    monkeypatch.setattr(capacity, "BOUND", 1000.0)
    monkeypatch.setattr(capacity, "PATIENCE", math.inf)
    with opened(name) as sandbox:
        once(lambda: UnderLoad().measure(sandbox), _takes_more)
        monkeypatch.setattr(capacity, "BOUND", 0.0)
        assert [one for one in UnderLoad().measure(sandbox) if one.startswith("p99")] == ["p99-1"]


def _takes_more(found: Mapping[str, float]) -> bool:
    assert found["p99-1"] > 0 and found["p99-3"] > 0 and found["cpu-1"] > 0
    return found["cpu-3"] > 1.5 * found["cpu-1"]


def test_nothing_is_left_of_the_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that were released, and of those that are given up when there is no room for more."""
    monkeypatch.setattr(capacity, "COUNTS", (1, 2, 4))
    monkeypatch.setattr(capacity, "BOUND", 1000.0)
    monkeypatch.setattr(capacity, "PATIENCE", -1.0)
    with opened("process") as sandbox:
        before = descendants(os.getpid())
        with pytest.raises(StoppedShort, match="stopped at 1 instances"):
            UnderLoad().measure(sandbox)
        assert descendants(os.getpid()) == before
