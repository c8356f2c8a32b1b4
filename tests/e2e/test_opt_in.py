"""Scenarios that are asked for by name, through the command: what a sandbox has beside its protocol reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from isobench.results import store
from tests.e2e.test_commands import isobench

if TYPE_CHECKING:
    from pathlib import Path

SCENARIOS = "io-copy-up,memory-touch,sharing"


def _values(folder: Path, environments: str, scenarios: str) -> dict[tuple[str, str], set[str]]:
    """The metrics of one block by scenario and environment; nothing may have failed."""
    folder.mkdir(exist_ok=True)
    words = ("run", "-e", environments, "-s", scenarios, "--blocks", "1", "--no-report")
    done = isobench(*words, folder=folder)
    assert done.returncode == 0 and "failed" not in done.stderr, done.stderr
    found: dict[tuple[str, str], set[str]] = {}
    for series in store.load(next(store.find_runs(folder / "results"))).series:
        found.setdefault((series.scenario, series.environment), set()).add(series.metric)
    return found


@pytest.mark.root
@pytest.mark.docker
@pytest.mark.libvirt
def test_network_paths_are_measured_in_a_run(tmp_path: Path) -> None:
    """From the host, too, where the path is a published port or a tap; for all: tests/contract/test_network.py."""
    environments = ["docker-published", "tcg-tap"]
    found = _values(tmp_path, ",".join(["process", *environments]), "net")
    host = {"host-tcp", "host-udp", "host-connect", "host-mib"}
    assert all(host <= found["net", name] for name in environments), found


@pytest.mark.root
@pytest.mark.docker
def test_others_are_measured_in_a_run(tmp_path: Path) -> None:
    """Some of each family; the rest is measured by tests/contract, also many starts of Docker at once: two blocks of
    them are 126 containers."""
    found = _values(tmp_path, "process,docker", SCENARIOS)
    wanted = {(scenario, name) for scenario in SCENARIOS.split(",") for name in ("process", "docker")}
    assert wanted - found.keys() == set()
    found = _values(tmp_path / "parallel", "process,ns-all", "startup-parallel")
    assert {("startup-parallel", name) for name in ("process", "ns-all")} - found.keys() == set()


@pytest.mark.root
def test_limits_are_measured_in_a_run(tmp_path: Path) -> None:
    """Where they are set; a raw process is left out with the reason, and what does not vary is a fact."""
    found = _values(tmp_path, "process,ns-all+cgroup", "limit-memory,limit-processes,limit-files")
    assert found == {("limit-memory", "ns-all+cgroup"): {"had-64", "had-256", "end-64", "end-256"}}
    session = store.load(next(store.find_runs(tmp_path / "results"))).session
    told = {(skip.environment, skip.scenario): skip.reason for skip in session.skips}
    assert told == {
        ("process", "limit-memory"): "isobench sets no limit of memory there",
        ("process", "limit-processes"): "isobench sets no limit of processes there",
    }
    facts = {record.name: record.facts for record in session.environments}
    assert facts["process"]["limit-files.had"] == facts["ns-all+cgroup"]["limit-processes.had"] == "64"
    assert facts["ns-all+cgroup"]["limit-memory.end"] == "killed (SIGKILL)"


@pytest.mark.root
@pytest.mark.tool("mmdebstrap")
@pytest.mark.tool("fio")
def test_neighbours_are_measured_in_a_run(tmp_path: Path) -> None:
    """Alone and beside; a raw process has no limits, which is said, and what pressed is recorded."""
    found = _values(tmp_path, "process", "neighbour-none,neighbour-memory,neighbour-memory-limited")
    victims = {"start", "syscall", "round-trip", "read", "fsync", "read-p99", "fsync-p99", "redis"}
    scenarios = ("neighbour-none", "neighbour-memory")
    assert found == {(one, name): victims for one in scenarios for name in ("process", "process@control")}
    session = store.load(next(store.find_runs(tmp_path / "results"))).session
    (skip,) = session.skips
    assert (skip.scenario, skip.reason) == ("neighbour-memory-limited", "isobench sets no limit of CPU time there")
    (record,) = session.environments
    assert "stress-ng" in record.facts["neighbour-memory.command"]
    assert record.facts["neighbour-memory.matthews"] == "memory hog"
