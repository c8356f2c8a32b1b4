"""Limits on real instances: what each environment sets, the kernel keeps, and a program sees where it ends.

How much of a quota is had depends on what else the machine does: these tests ask whether it is held back at all.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from isobench.contracts.capabilities import Capability
from isobench.core import deadlines
from isobench.core.errors import StoppedShort
from isobench.filesystem.paths import work_root
from isobench.planning import catalog
from isobench.resources import cgroups
from isobench.scenarios import limits
from isobench.scenarios.limit_network import LimitNetwork
from isobench.scenarios.limits import CpuWeight, LimitCount, LimitCpu, LimitDisk, LimitMemory, LimitOperations
from tests.busy import once
from tests.conftest import STRICT
from tests.contract.opening import GUEST, opened

IN_A_CGROUP = [
    pytest.param("ns-all+cgroup", marks=pytest.mark.root),
    pytest.param("handmade", marks=pytest.mark.root),
    pytest.param("runc", marks=[pytest.mark.root, pytest.mark.tool("runc")]),
    pytest.param("podman", marks=[pytest.mark.root, pytest.mark.tool("podman")]),
    pytest.param("lxc", marks=[pytest.mark.root, pytest.mark.tool("lxc-start")]),
    pytest.param("nspawn", marks=[pytest.mark.root, pytest.mark.tool("systemd-nspawn")]),
    pytest.param("docker", marks=pytest.mark.docker),
]
BY_FILES = (IN_A_CGROUP[0], IN_A_CGROUP[2])
A_GUEST = pytest.param(GUEST, marks=pytest.mark.libvirt)


@pytest.mark.parametrize("name", [*IN_A_CGROUP, A_GUEST])
def test_a_quota_holds_a_program_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never has much more, and is stopped for most of a period."""
    monkeypatch.setattr(limits, "QUOTAS", (20,))
    monkeypatch.setattr(limits, "WINDOW", 1.0)
    with opened(name) as sandbox:
        found = once(lambda: LimitCpu().measure(sandbox), _is_held_back)
    assert found["had-20"] > 0 and found["work-20"] > 0 and found["work"] > 0


def _is_held_back(found: Mapping[str, float]) -> bool:
    """What it did not use of the period before it may have."""
    return found["had-20"] < 0.2 * 1.3 and found["stall-20"] > 0.04


@pytest.mark.parametrize("name", [*IN_A_CGROUP, A_GUEST])
def test_the_heavier_of_two_has_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """About twice as much, whoever else wants the same CPU."""
    monkeypatch.setattr(limits, "WINDOW", 1.0)
    with opened(name) as sandbox:
        once(lambda: CpuWeight().measure(sandbox), lambda found: 1.3 < found["had-2"] / found["had-1"] < 3)


@pytest.mark.parametrize("name", IN_A_CGROUP)
def test_memory_ends_at_the_limit(name: str) -> None:
    """Of the limit all is had but for what the program itself has; the program that is left tells how it ended."""
    with opened(name) as sandbox:
        found = LimitMemory().measure(sandbox)
        told = LimitMemory().facts(sandbox)
    for size in limits.SIZES:
        assert 0.9 * (size << 20) < found[f"had-{size}"] <= size << 20
        assert found[f"end-{size}"] > 0
    assert told["end"] == "killed (SIGKILL)"
    has_swap = len(Path("/proc/swaps").read_text().splitlines()) > 1
    assert told["swap"].startswith("with 64 MiB" if has_swap else "the host has none")


@pytest.mark.libvirt
def test_a_guest_has_its_memory_less_its_kernels() -> None:
    """And with so little that its kernel does not boot, the rest is kept."""
    with opened(GUEST) as sandbox:
        try:
            found = LimitMemory().measure(sandbox)
        except StoppedShort as short:
            assert "without 64 MiB" in short.reason
            found = short.values
    assert 0.5 * (256 << 20) < found["had-256"] < 256 << 20


@pytest.mark.parametrize("name", ["process", *IN_A_CGROUP])
def test_counts_end_at_the_limit_with_an_error(name: str) -> None:
    """Exactly there: with the probe and its standard streams, and the processes of a tool in its cgroup."""
    able = catalog.environments()[name].capabilities
    wanted = {"limit-processes": "EAGAIN", "limit-files": "EMFILE"}
    counts = [one for one in limits.SCENARIOS if isinstance(one, LimitCount) and one.needs <= able]
    assert len(counts) == (1 if name == "process" else 2)
    with opened(name) as sandbox:
        for one in counts:
            told = one.facts(sandbox)
            least = limits.COUNT - (4 if (name, one.name) == ("nspawn", "limit-processes") else 0)
            assert told["set"] == str(limits.COUNT) and least <= int(told["had"]) <= limits.COUNT
            assert told["error"].startswith(f"{wanted[one.name]} (")


@pytest.mark.parametrize("name", ["ns-all+cgroup", "runc", "lxc", "nspawn", "docker", GUEST])
def test_the_environments_that_are_tested_can_limit_the_disk(name: str) -> None:
    assert Capability.LIMIT_DISK in catalog.environments()[name].capabilities


def _no_disk(short: StoppedShort) -> NoReturn:
    """A file system that lies on no disk has no limit; one that does has to have it."""
    device = work_root().stat().st_dev
    is_on_a_disk = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").exists()
    (pytest.fail if STRICT and is_on_a_disk else pytest.skip)(short.reason)


@pytest.mark.parametrize("name", [*BY_FILES, *IN_A_CGROUP[4:], A_GUEST])
def test_writes_and_reads_are_held_back(name: str) -> None:
    """Past the page cache; what was in it only where the writer is charged with what the kernel's threads write.

    A disk that others keep busy may hold back what no limit does, but not each time.
    """
    is_charged = name == GUEST or (cgroups.ROOT / "cgroup.controllers").exists()
    free = ("buffered-4",) if is_charged else ("buffered-4", "syncfs-4")
    limited = ("direct-4", "read-direct-4", "read-buffered-4", *(("fsync-4", "syncfs-4") if is_charged else ()))

    def measured() -> Mapping[str, float]:
        found = LimitDisk().measure(sandbox)
        assert min(found[one] for one in limited) > 0.25 / 1.6, found  # QEMU lets a disk write ahead
        return found

    with opened(name) as sandbox:
        try:
            once(measured, lambda found: max(found[one] for one in free) < 0.25 / 2)
        except StoppedShort as short:
            _no_disk(short)


def _no_qdisc(short: StoppedShort, *words: str) -> NoReturn:
    """A kernel that lacks a part of it limits no network; one that has it, as tc by hand shows, has to."""
    there = subprocess.run(["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", *words], capture_output=True)
    (pytest.fail if STRICT and there.returncode == 0 else pytest.skip)(short.reason)


@pytest.mark.parametrize("name", IN_A_CGROUP)
def test_what_is_received_is_held_back(name: str) -> None:
    """On the host's end of a veth pair, whoever has laid it. Headers are within the limit."""

    def measured() -> float:
        took = LimitNetwork().measure(sandbox)["received-4"]
        assert took > 0.25
        return took

    with opened(name) as sandbox:
        try:
            once(measured, lambda took: took < deadlines.stretched(0.25 * 2))
        except StoppedShort as short:
            _no_qdisc(short, "tbf", "rate", "1mbit", "burst", "32k", "latency", "50ms")


@pytest.mark.libvirt
@pytest.mark.root
def test_a_guests_network_is_held_back_by_libvirt() -> None:
    """If its kernel can; if not, it is said which part of it is missing."""
    with opened(f"{GUEST}-tap") as sandbox:
        try:
            found = LimitNetwork().measure(sandbox)
        except StoppedShort as short:
            assert short.reason.startswith("libvirt cannot limit its network: tc ")
            _no_qdisc(short, "sfq")
    assert found["received-4"] > 0.25 / 1.6


@pytest.mark.parametrize("name", [*BY_FILES, *IN_A_CGROUP[4:], A_GUEST])
def test_the_number_of_writes_and_reads_is_held_back(name: str) -> None:
    with opened(name) as sandbox:
        try:
            found = LimitOperations().measure(sandbox)
        except StoppedShort as short:
            _no_disk(short)
    assert found["direct-50"] > 0.02 / 1.6 and found["read-direct-50"] > 0.02 / 1.6  # QEMU lets a disk go ahead
