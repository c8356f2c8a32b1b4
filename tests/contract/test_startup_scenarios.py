"""Startup scenarios on real instances: cold, and several at once."""

from __future__ import annotations

import pytest

from isobench.scenarios import startup_parallel
from isobench.scenarios.startup import Startup
from isobench.scenarios.startup_cold import StartupCold
from tests.contract.opening import opened


@pytest.mark.root
def test_a_cold_start_takes_longer_than_a_warm_one() -> None:
    """With the page cache dropped the program is read from the disk, or at least faulted in again. The least of each:
    others can only delay a start."""
    with opened("process") as sandbox:
        warm = min(Startup().measure(sandbox)["ready"] for _ in range(12))
        found = [StartupCold().measure(sandbox) for _ in range(3)]
    assert all(set(one) == {"ready"} for one in found)
    assert min(one["ready"] for one in found) > warm


@pytest.mark.parametrize(
    ("name", "many"), [("process", 2), ("ns-all", 2), pytest.param("docker", 32, marks=pytest.mark.docker)]
)
def test_several_at_once(name: str, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are ready, the last no sooner than the median, and each number of starts has its values. As many as a run
    starts only where the threads share a client of an engine."""
    monkeypatch.setattr(startup_parallel, "AT_ONCE", (1, many))
    with opened(name) as sandbox:
        found = startup_parallel.StartupParallel().measure(sandbox)
    assert set(found) == {f"{what}-{count}" for what in ("median", "p99", "last") for count in (1, many)}
    assert 0 < found["median-1"] == found["last-1"] == found["p99-1"]
    assert 0 < found[f"median-{many}"] <= found[f"p99-{many}"]
    assert found[f"median-{many}"] <= found[f"last-{many}"]
