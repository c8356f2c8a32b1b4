"""What real instances tell of their use: it grows while they are busy, and each way to read it is there."""

from __future__ import annotations

import time

import pytest

from isobench.contracts.answers import first_answer
from isobench.contracts.capabilities import TellsUse
from isobench.contracts.launch import working
from isobench.core import deadlines
from isobench.scenarios.limits import go_on
from isobench.scenarios.monitoring import Monitoring
from tests.contract.opening import GUEST, opened

WAYS = {
    "process": "files of its process",
    "ns-all+cgroup": "files of its cgroup",
    "podman": "files of its cgroup",
    "docker": "the engine's API",
    GUEST: "libvirt",
}
NAMES = [
    "process",
    pytest.param("ns-all+cgroup", marks=pytest.mark.root),
    pytest.param("podman", marks=[pytest.mark.root, pytest.mark.tool("podman")]),
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param(GUEST, marks=pytest.mark.libvirt),
]


@pytest.mark.parametrize("name", NAMES)
def test_use_grows_with_what_is_used(name: str) -> None:
    """By more than the clock tick, within a deadline that no host misses."""
    with opened(name) as sandbox, sandbox.launch(working("burn", "1", "1")) as instance:
        assert isinstance(instance, TellsUse)
        assert instance.use_told_by.startswith(WAYS[name])
        before = instance.use()
        go_on(instance)
        first_answer(instance.stdout)
        until = time.monotonic() + deadlines.stretched(60)
        while instance.use().cpu_seconds < before.cpu_seconds + 0.1 and time.monotonic() < until:
            time.sleep(0.05)
        after = instance.use()
    assert after.cpu_seconds >= before.cpu_seconds + 0.1
    assert after.memory_bytes > 64 << 10


@pytest.mark.parametrize("name", NAMES)
def test_monitoring_has_its_costs(name: str) -> None:
    with opened(name) as sandbox:
        found = Monitoring().measure(sandbox)
    assert set(found) == {"read", "cpu", "age"} and found["read"] > 0 and found["cpu"] > 0
