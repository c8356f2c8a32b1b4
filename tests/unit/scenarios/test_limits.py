"""Limits: what is launched with which, what becomes of the answers, and what the gate makes of the cells."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from isobench.cells.gate import marks
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import Launch, Limits
from isobench.core.errors import IsobenchError, MeasurementError, OutOfMemory, StoppedShort, Unavailable
from isobench.host.counters import Counter
from isobench.planning import catalog
from isobench.results.record import CellRecord
from isobench.scenarios import limits
from tests.fake import SayingInstance

BY_NAME: dict[str, Any] = {scenario.name: scenario for scenario in limits.SCENARIOS}


class Killed(SayingInstance):
    """An instance whose mechanism reports an OOM kill at its end."""

    def wait(self) -> int:
        raise OutOfMemory("OOM-killed")


class Box:
    """A sandbox that answers each launch with the next script, or fails as scripted, and keeps what was launched."""

    def __init__(self, scripts: Sequence[Sequence[object] | IsobenchError], kind: type = SayingInstance) -> None:
        self.scripts = list(scripts)
        self.kind = kind
        self.launched: list[Launch] = []

    def daemons(self) -> list[int]:
        return []

    def facts(self) -> Mapping[str, str]:
        return {}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[SayingInstance]:
        self.launched.append(launch)
        script = self.scripts[len(self.launched) - 1]
        if isinstance(script, IsobenchError):
            raise script
        yield self.kind(b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in script))


class GuestBox(Box):
    """Its instances have memory of their own."""

    memory_bytes = 192 << 20


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW", 0.001)
    monkeypatch.setattr(limits, "_REST", 0.0)
    monkeypatch.setattr(limits, "_cpu_seconds", _looks(*range(100)))


def _looks(*seen: float) -> Any:
    """A clock of CPU time that shows these, one at each look."""
    looks = iter(seen)
    return lambda instance: float(next(looks))


BURNT = [{"burning": 1}, {"stall": 80_000_000}, {"work": 250_000_000}]


@pytest.mark.usefixtures("quick")
def test_each_quota_is_an_instance_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads and CPUs as the quota is of; without a quota only the work is kept."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    box = Box([BURNT] * 4)
    found = BY_NAME["limit-cpu"].measure(box)
    told = [(one.arguments[1], one.cpus, one.limits.cpu_percent) for one in box.launched]
    assert told == [("1", 1, 0), ("1", 1, 20), ("1", 1, 50), ("2", 2, 150)]
    assert set(found) == {metric.name for metric in BY_NAME["limit-cpu"].metrics}
    assert (found["stall-20"], found["work"], found["work-150"]) == (0.08, 0.25, 0.25)


@pytest.mark.usefixtures("quick")
def test_a_host_with_one_cpu_has_no_quota_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the others are kept."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    with pytest.raises(StoppedShort, match=r"without 150 %: the host has too few CPUs") as stopped:
        BY_NAME["limit-cpu"].measure(Box([BURNT] * 3))
    assert "had-50" in stopped.value.values and "had-150" not in stopped.value.values


@pytest.mark.usefixtures("quick")
def test_the_cpu_time_is_that_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of the host, to which a late look is put right."""
    clock = iter((10.0, 14.0))
    monkeypatch.setattr(limits, "WINDOW", 2.0)
    monkeypatch.setattr("isobench.scenarios.limits.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("isobench.scenarios.limits.time.sleep", lambda seconds: None)
    monkeypatch.setattr(limits, "_cpu_seconds", _looks(1.0, 1.8))
    assert limits._had_meanwhile(SayingInstance(b"")) == [pytest.approx(0.2)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick")
def test_two_that_compete_are_there_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With their weights; where they cannot be seen they cannot be made to compete."""
    monkeypatch.setattr(limits, "_confined", lambda instance: True)
    monkeypatch.setattr(limits, "_cpu_seconds", _looks(0.0, 0.0, 1.0, 2.0))
    box = Box([BURNT] * 2)
    found = BY_NAME["cpu-weight"].measure(box)
    assert found["had-2"] == pytest.approx(2 * found["had-1"])
    assert [one.limits for one in box.launched] == [Limits(cpu_weight=100), Limits(cpu_weight=200)]
    monkeypatch.undo()
    with pytest.raises(StoppedShort, match="cannot be seen"):
        BY_NAME["cpu-weight"].measure(Box([BURNT] * 2))


def test_competitors_share_one_cpu() -> None:
    """The program, and not what serves it; whoever cannot be seen is not confined."""
    seen = SayingInstance(b"")
    with subprocess.Popen(["sleep", "60"]) as payload, subprocess.Popen(["sleep", "60"]) as helper:
        try:
            seen.host_pids = lambda: {payload.pid: "payload", helper.pid: "helper"}  # type: ignore[method-assign]
            assert limits._confined(seen)  # type: ignore[arg-type]
            own = os.sched_getaffinity(0)
            assert os.sched_getaffinity(payload.pid) == {max(own)} and os.sched_getaffinity(helper.pid) == own
        finally:
            payload.kill()
            helper.kill()
    assert not limits._confined(SayingInstance(b""))  # type: ignore[arg-type]


def test_memory_is_what_was_had_and_how_long_the_end_took() -> None:
    """An OOM kill that the mechanism reports is what is wanted, not a failure."""
    box = Box([[{"bytes": size, "ns": 10**7, "signal": 9, "errno": 0}] for size in (66 << 20, 255 << 20)], Killed)
    found = BY_NAME["limit-memory"].measure(box)
    assert found == {"had-64": 66 << 20, "had-256": 255 << 20, "end-64": 0.01, "end-256": 0.01}
    assert [one.memory_bytes for one in box.launched] == [64 << 20, 256 << 20]
    assert [one.arguments for one in box.launched] == [("hoard", str(128 << 20)), ("hoard", str(512 << 20))]


@pytest.fixture
def no_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "text_of", lambda file: "Filename Type Size Used Priority")


@pytest.mark.usefixtures("no_swap")
def test_a_limit_that_nobody_enforces_has_no_end() -> None:
    """It is a finding, not a failure: the child stopped by itself at twice as much."""
    freely = [{"bytes": 512 << 20, "ns": 1, "signal": 0, "errno": 0}]
    assert BY_NAME["limit-memory"].measure(Box([freely] * 2)) == {"had-64": 512 << 20, "had-256": 512 << 20}
    assert BY_NAME["limit-memory"].facts(Box([freely])) == {
        "end": "not enforced: it got 512 of 256 MiB",
        "swap": "the host has none",
    }
    killed = [{"bytes": 1, "ns": 1, "signal": 9, "errno": 0}]
    assert BY_NAME["limit-memory"].facts(Box([killed]))["end"] == "killed (SIGKILL)"
    refused = [{"bytes": 1, "ns": 1, "signal": 0, "errno": errno.ENOMEM}]
    assert BY_NAME["limit-memory"].facts(Box([refused]))["end"] == "ENOMEM (Cannot allocate memory)"


def test_with_swap_it_has_more_and_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much swap as memory; a guest has its own kernel, and so no swap of the host's."""
    monkeypatch.setattr(limits, "text_of", lambda file: "Filename Type Size Used Priority\n/swap file 1048572 0 -2")
    monkeypatch.setattr("isobench.resources.cgroups.limits_swap", lambda: True)
    killed, more = ([{"bytes": size << 20, "ns": 1, "signal": 9, "errno": 0}] for size in (255, 127))
    box = Box([killed, more])
    told = BY_NAME["limit-memory"].facts(box)
    assert told["swap"] == "with 64 MiB of memory and as much swap it got 127 MiB: killed (SIGKILL)"
    assert (box.launched[1].memory_bytes, box.launched[1].limits.swap_bytes) == (64 << 20, 64 << 20)
    assert BY_NAME["limit-memory"].facts(GuestBox([killed]))["swap"] == "the guest has none of its own"
    monkeypatch.setattr("isobench.resources.cgroups.limits_swap", lambda: False)
    assert "swapaccount=0" in BY_NAME["limit-memory"].facts(Box([killed]))["swap"]


def test_a_guest_that_does_not_boot_with_so_little_keeps_the_rest() -> None:
    """In a container the same is a failure, since its kernel is there already."""
    had = [{"bytes": 199 << 20, "ns": 1, "signal": 9, "errno": 0}]
    too_small = MeasurementError("the guest ended before it was ready")
    with pytest.raises(StoppedShort, match="without 64 MiB: the guest ended") as stopped:
        BY_NAME["limit-memory"].measure(GuestBox([too_small, had]))
    assert set(stopped.value.values) == {"had-256", "end-256"}
    with pytest.raises(MeasurementError, match="ended before"):
        BY_NAME["limit-memory"].measure(Box([too_small, had]))
    with pytest.raises(MeasurementError, match="ended before"):
        BY_NAME["limit-memory"].measure(GuestBox([too_small, too_small]))


def test_each_way_to_the_disk_has_an_instance_of_its_own() -> None:
    """With a disk, and with a limit of what it does alone: a file that is to be read is soon written."""
    written = [[{"written": when * 10**9, "synced": when * 10**9 + 5 * 10**8}] for when in (2, 1, 3)]
    box = Box([*written, [{"read": 4 * 10**9}], [{"read": 5 * 10**9}]])
    found = BY_NAME["limit-disk"].measure(box)
    writes = {"direct-4": 2 / 8, "buffered-4": 1 / 8, "fsync-4": 1.5 / 8, "syncfs-4": 3.5 / 8}
    assert found == {**writes, "read-direct-4": 4 / 8, "read-buffered-4": 5 / 8}
    assert [one.limits for one in box.launched] == [Limits(write_bytes=4 << 20)] * 3 + [Limits(read_bytes=4 << 20)] * 2
    assert all(one.needs_disk for one in box.launched)


def test_operations_are_counted_one_by_one() -> None:
    """A hundred small ones in two seconds are fifty a second."""
    box = Box([[{"written": 2 * 10**9, "synced": 3 * 10**9}], [{"read": 10**9}]])
    assert BY_NAME["limit-operations"].measure(box) == {"direct-50": 0.02, "read-direct-50": 0.01}
    assert [one.limits for one in box.launched] == [Limits(write_operations=50), Limits(read_operations=50)]
    assert all(one.needs_disk for one in box.launched)
    assert [one.arguments for one in box.launched] == [(verb, "direct", "409600", "4096") for verb in ("write", "read")]


@pytest.mark.parametrize("name", ["limit-disk", "limit-operations"])
def test_what_lies_on_no_disk_is_skipped_with_the_reason(name: str) -> None:
    with pytest.raises(StoppedShort, match="on no disk of its own") as stopped:
        BY_NAME[name].measure(Box([Unavailable("it lies on no disk of its own")]))
    assert stopped.value.values == {}


def test_counts_are_facts_with_the_error_that_the_program_sees() -> None:
    box = Box([[{"count": 64, "errno": errno.EAGAIN}]])
    told = BY_NAME["limit-processes"].facts(box)
    assert told == {"set": "64", "had": "64", "error": "EAGAIN (Resource temporarily unavailable)"}
    assert box.launched[0].limits == Limits(processes=64)
    box = Box([[{"count": 128, "errno": 0}]])
    assert BY_NAME["limit-files"].facts(box)["error"] == "none: the limit is not enforced"
    assert box.launched[0].limits == Limits(open_files=64)
    with pytest.raises(MeasurementError, match="an error 9999"):
        BY_NAME["limit-files"].facts(Box([[{"count": 1, "errno": 9999}]]))


def test_the_group_is_named_and_not_the_default() -> None:
    assert {one.name for one in catalog.select_scenarios("limits")} == {*BY_NAME, "limit-network", "monitoring"}
    assert not {one.name for one in catalog.select_scenarios("default")} & set(BY_NAME)


def test_who_can_limit_what() -> None:
    """A raw process only its open files; guests have no limit of processes that is not their own kernel's."""
    can = {name: environment.capabilities for name, environment in catalog.environments().items()}
    every = {one for one in Capability if one.startswith(("limit-", "cpu-"))}
    assert every & can["process"] == {Capability.LIMIT_FILES}
    assert every <= can["ns-all+cgroup"] and every <= can["handmade"] and every <= can["runc"]
    assert all(every <= can[name] for name in ("docker", "podman", "lxc", "nspawn"))
    assert every & can["bubblewrap"] == every & can["ns-net"] - {Capability.LIMIT_FILES} == {Capability.LIMIT_NETWORK}
    assert every - can["tcg"] == {Capability.LIMIT_PROCESSES, Capability.LIMIT_FILES, Capability.LIMIT_NETWORK}
    assert Capability.LIMIT_NETWORK in can["tcg-tap"] and Capability.LIMIT_NETWORK not in can["docker-hostnet"]
    assert not every & can["tcg-null"] and Capability.LIMIT_DISK not in can["docker-tmpfs"]


DISTURBED = {Counter.THROTTLED: 1.5, Counter.PSI_CPU: 1.5}


def _cell(scenario: str, **counted: float) -> CellRecord:
    return CellRecord("docker", scenario, 0.0, 2.0, 1.0, {**{str(k): v for k, v in counted.items()}})


def test_its_own_throttling_marks_no_block_and_that_of_others_does() -> None:
    """The counters are expected of its cells alone, and steal time of none."""
    expected = {"limit-cpu": BY_NAME["limit-cpu"].expected_interference}
    own = _cell("limit-cpu", **DISTURBED)
    assert marks([own, _cell("startup")], expected) == []
    assert marks([own, _cell("startup", **DISTURBED)], expected)
    assert marks([_cell("limit-cpu", **DISTURBED, **{Counter.STEAL: 1.0})], expected)
