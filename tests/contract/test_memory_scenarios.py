"""Memory scenarios on real instances: what a process frees is free, what a guest was once given is not."""

from __future__ import annotations

import pytest

from bench.environment import Sandbox
from scenarios.memory_touch import BYTES, MemoryTouch
from scenarios.sharing import Sharing
from tests.contract.opening import opened


@pytest.mark.parametrize("name", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_process_gives_back_what_it_frees(name: str) -> None:
    """Touching 64 MiB is seen as 64 MiB, and freeing it as none of it."""
    with opened(name) as sandbox:
        found = MemoryTouch().measure(sandbox)
    assert found["touched"] - found["started"] == pytest.approx(BYTES, rel=0.02)
    assert found["freed"] == pytest.approx(found["started"], rel=0.1)
    assert "given" not in found


class Guest:
    """A sandbox with memory of its own, as the runner hands one on."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.launch, self.facts, self.daemons = sandbox.launch, sandbox.facts, sandbox.daemons
        self.memory_bytes: int = sandbox.memory_bytes  # type: ignore[attr-defined]


@pytest.mark.libvirt
def test_a_guest_keeps_what_it_was_given() -> None:
    """It takes part of it for its kernel, and the host spends all of it once it was touched, freed or not."""
    with opened("tcg") as sandbox:
        found = MemoryTouch().measure(Guest(sandbox))
    assert 0 < found["kernel"] < found["given"] == 192 << 20
    assert found["touched"] > found["started"]
    assert found["freed"] > 0.95 * found["touched"]


@pytest.mark.parametrize("name", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_second_instance_shares_the_file(name: str) -> None:
    """Both have read the file; it lies in the page cache once, so the second adds less than the first took."""
    with opened(name) as sandbox:
        found = Sharing().measure(sandbox)
    assert found["cached"] == found["file"]
    assert found["shared"] > found["file"] * 0.9
    assert found["second"] < found["alone"]
