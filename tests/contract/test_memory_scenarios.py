"""Memory scenarios on real instances: what a process frees is free, what a guest was once given is not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from isobench.contracts.capabilities import HasHarness
from isobench.contracts.launch import idle
from isobench.resources.memory import add_up, cgroup_memory
from isobench.scenarios import density
from isobench.scenarios.memory_touch import BYTES, MemoryTouch
from isobench.scenarios.sharing import Sharing
from tests.busy import once
from tests.contract.opening import GUEST, opened


@pytest.mark.parametrize("name", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_process_gives_back_what_it_frees(name: str) -> None:
    """Touching 64 MiB is seen as 64 MiB, and freeing it as none of it."""
    with opened(name) as sandbox:
        found = once(lambda: MemoryTouch().measure(sandbox), _is_given_back)
    assert "given" not in found


def _is_given_back(found: Mapping[str, float]) -> bool:
    """Who maps the same program meanwhile has a part of its pages counted."""
    return (
        found["touched"] - found["started"] == pytest.approx(BYTES, rel=0.02)
        and found["freed"] == pytest.approx(found["started"], rel=0.1)
    )  # fmt: skip


@pytest.mark.libvirt
def test_a_guest_keeps_what_it_was_given() -> None:
    """It takes part of it for its kernel, and the host spends all of it once it was touched, freed or not."""
    with opened(GUEST) as sandbox:
        found = MemoryTouch().measure(sandbox)
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
    assert found["second"] < found["alone"]  # below zero where somebody else maps the engine's files meanwhile


@pytest.mark.libvirt
def test_a_second_guest_shares_no_page_of_the_file() -> None:
    """Each guest has the file in a page cache of its own, which the host spends twice."""
    with opened(GUEST) as sandbox:
        found = Sharing().measure(sandbox)
    assert found["cached"] == found["file"]
    assert found["second"] > found["file"]


@pytest.mark.parametrize(
    "name",
    [
        "process",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param(GUEST, marks=pytest.mark.libvirt),
    ],
)
def test_density_counts_one_and_two(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PSS of two is that of one and the slope; what is counted is named, with its sign."""
    monkeypatch.setattr(density, "COUNTS", (1, 2))
    monkeypatch.setattr(density, "REST_SECONDS", 1.0)
    with opened(name) as sandbox:
        found = once(lambda: density.Density().measure(sandbox), lambda found: found["pss"] < 1.1 * found["pss-1"])
    assert found.keys() <= {metric.name for metric in density.Density.metrics}
    assert {"available", "kernel", "fixed"} <= found.keys()
    assert found["pss-1"] + found["pss"] == pytest.approx(found["pss-2"])
    assert ("harness" in found) == (name == "process")
    assert ("daemons-2" in found) == (name != "process")


@pytest.mark.root
@pytest.mark.parametrize(
    "name",
    [
        "ns-all",
        pytest.param("runc", marks=pytest.mark.tool("runc")),
        pytest.param("docker", marks=pytest.mark.docker),
    ],
)
def test_without_a_watch_on_its_end_there_is_nothing_beside_an_instance(name: str) -> None:
    """No watching process, and no network namespace of the harness's; the instance ends all the same."""
    beside = {}
    with opened(name) as sandbox:
        for watched in (True, False):
            with sandbox.launch(idle(watch_end=watched)) as instance:
                harness = instance.harness_pids() if isinstance(instance, HasHarness) else []
                beside[watched] = (len(harness), sum(map(_namespaces_held, harness)))
                assert instance.wait() == 0
            assert instance.events["gone"] >= instance.events["exited"]
    assert beside[True][1] == 1 and beside[False][1] == 0
    assert beside[True][0] - beside[False][0] == (0 if name == "ns-all" else 1)


def _namespaces_held(pid: int) -> int:
    """Network namespaces that this process keeps open."""
    return sum(str(file.readlink()).startswith("net:") for file in Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.root
def test_a_cgroups_parts_are_added_up_at_once() -> None:
    """The kernel adds them up every two seconds by itself; what a small program has would be zero until then."""
    with opened("handmade") as sandbox:
        found = []
        for _ in range(3):
            with sandbox.launch(idle(timeout=60)) as instance:
                add_up()
                at_once = cgroup_memory(instance)
                time.sleep(2.5)
                later = cgroup_memory(instance)
                instance.wait()
            assert at_once is not None and later is not None
            found.append((at_once.anonymous, later.anonymous))
    assert all(first == second and first for first, second in found), found
