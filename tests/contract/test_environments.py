"""The contract, held by every real environment: what launches, what it says, and that nothing of it remains."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from isobench.cells.cell import TimedSandbox
from isobench.contracts.answers import answers
from isobench.contracts.capabilities import Capability
from isobench.contracts.environment import Environment, Sandbox
from isobench.contracts.launch import idle, working
from isobench.core import deadlines
from isobench.core.errors import MeasurementError, ProbeError, Unavailable
from isobench.core.model import EVENTS
from isobench.environments.docker.drivers import DriverDocker
from isobench.filesystem.paths import RUN_PREFIX, work_root
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from tests.busy import soon
from tests.conftest import CAN
from tests.contract.opening import GUEST, learn_this_host, skip_without_runsc

ALWAYS = ("requested", "ready", "released", "exited", "gone")

MARKERS = {"engine": pytest.mark.docker, "vm": pytest.mark.libvirt, "vmm": pytest.mark.libvirt}
"""Layer -> what a host has to have; what else is needed an environment says itself, by being unavailable."""

HERE = (
    *("process", "process-fork", "chroot", "pivot-root", "ns-mnt", "ns-uts", "ns-ipc", "ns-pid", "ns-net", "ns-user"),
    *("ns-cgroup", "ns-time", "ns-all", "ns-all-user", "ns-all+cgroup", "ns-all+caps", "ns-all+seccomp"),
    *("ns-all+overlay", "handmade", "bubblewrap", "lxc", "nspawn", "runc", "podman", "podman-rootless", "docker"),
    *(
        "docker-nonet",
        "docker-hostnet",
        "docker-unconfined",
        "docker-readonly",
        "docker-runsc",
        "containerd",
        "tcg",
        "tcg-null",
    ),
    *("docker-published", "docker-rootless", "tcg-user", "tcg-tap"),
    *("docker-overlay2", "docker-vfs", "docker-fuse", "docker-remap"),
)
"""What every Debian machine with what `isobench provision --for-tests` installs can run: unavailable is a failure."""

LINUX_UNDER_KVM = 20.0
"""Seconds, on a usual host, after which a guest under KVM counts as one that never comes up. It takes one or two where
KVM boots Linux at all; the minute that every guest has would be waited out on each host where it does not."""


def _parameters() -> Iterator[object]:
    for environment in catalog.environments().values():
        if environment.name.endswith("-distro"):  # a minute each: tests/contract/test_guests.py
            continue
        if "storage" in environment.groups and not isinstance(environment, DriverDocker):
            continue  # differ in their data's path alone: tests/contract/test_storage.py
        if environment.compared_with == "podman-rootless":  # tests/contract/test_rootless.py
            continue
        marks = [MARKERS[environment.layer]] if environment.layer in MARKERS else []
        if getattr(environment, "needs_root", False):
            marks.append(pytest.mark.root)
        if environment.name.startswith("kvm"):
            marks.append(pytest.mark.kvm)
        yield pytest.param(environment, id=environment.name, marks=marks)


class First(NamedTuple):
    """What was seen of an environment's first instance, which idled; several tests look at it."""

    said: bytes
    pids: Mapping[int, str]
    living: list[int]
    """Those of its processes that lived while it idled."""
    status: int
    events: Mapping[str, int]
    began: int
    ended: int
    """On the monotonic clock, as the events are."""


Opened = tuple[Environment, Sandbox, First]


@pytest.fixture(scope="module", params=list(_parameters()))
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """An environment, opened; one that this kind of host need not have may be unavailable, with a reason."""
    environment: Environment = request.param
    workdir = work_root() / f"{RUN_PREFIX}{new_run_id()}" / environment.name
    workdir.mkdir(parents=True, mode=0o711)
    workdir.parent.chmod(0o711)
    learn_this_host()
    if environment.name.startswith("kvm") and environment.name != "kvm-null" and GUEST != "kvm":
        deadlines.begin(deadlines.stretched(LINUX_UNDER_KVM))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, workdir.parent)
        try:
            sandbox = TimedSandbox(stack.enter_context(environment.open(workdir)))
            first = _first(sandbox)
        except (Unavailable, MeasurementError) as error:
            assert error.reason
            skip_without_runsc(environment.name)
            if environment.name in HERE or (environment.name == "kvm-null" and CAN["kvm"]()):
                raise
            if environment.name.startswith("kvm") and GUEST == "kvm":
                raise
            pytest.skip(f"{environment.name}: {error.reason}")
        yield environment, sandbox, first
    left = _named(workdir.parent.name)
    assert not left, f"left behind: {left}"


def _first(sandbox: Sandbox) -> First:
    began = time.monotonic_ns()
    with sandbox.launch(idle(timeout=60)) as instance:
        said = instance.stdout.read(6)
        pids = dict(instance.host_pids())
        living = _living(list(pids))
        status = instance.wait()
    return First(said, pids, living, status, dict(instance.events), began, time.monotonic_ns())


def _named(run: str) -> set[str]:
    """A run's mounts and cgroups, found by its name, without isobench's own bookkeeping.

    Those of other runs on this host come and go meanwhile.
    """
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = {line.split()[4] for line in lines if run.lower() in line.lower()}  # nspawn's names have small letters
    walked = os.walk("/sys/fs/cgroup")  # which passes over a folder that is gone by now
    return mounts | {f"{folder}/{name}" for folder, names, _ in walked for name in names if run in name}


def _living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in _status(pid)]


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "\nState:\tZ"


def test_ready_and_events(opened: Opened) -> None:
    """The first bytes are the ready line; the events are complete and in order, on this host's clock."""
    _, _, first = opened
    assert first.said == b"ready\n" and first.status == 0
    assert set(ALWAYS) <= set(first.events) <= set(EVENTS)
    stamps = [first.events[name] for name in EVENTS if name in first.events]
    assert stamps == sorted(stamps)
    assert first.began <= stamps[0] and stamps[-1] <= first.ended


def test_host_processes_are_real_and_end(opened: Opened) -> None:
    """While it idles the host has processes because of it, one of them the payload; afterwards none of them lives."""
    _, _, first = opened
    assert "payload" in first.pids.values()
    assert first.living == list(first.pids)
    assert soon(lambda: not _living(list(first.pids)))


def test_destroyed_when_the_body_raises(opened: Opened) -> None:
    """An instance that was never told to finish is gone all the same when the block is left by an exception."""
    _, sandbox, _ = opened
    pids: list[int] = []

    def fail() -> None:
        with sandbox.launch(idle(timeout=60)) as instance:
            pids.extend(instance.host_pids())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert pids and soon(lambda: not _living(pids))


def test_an_unknown_verb(opened: Opened) -> None:
    """What the probe does not know is an error of ours, with its words."""
    environment, sandbox, _ = opened
    if Capability.PROBE not in environment.capabilities:
        assert environment.capabilities == {Capability.READY}
        return
    with pytest.raises((ProbeError, MeasurementError)), sandbox.launch(working("juggle", timeout=60)) as instance:
        answers(instance)


def test_the_probe_works_inside(opened: Opened) -> None:
    """A working verb's answers come through whole."""
    environment, sandbox, _ = opened
    if Capability.PROBE not in environment.capabilities:
        assert environment.capabilities == {Capability.READY}
        return
    with sandbox.launch(working("syscall", "getppid", timeout=60)) as instance:
        said = answers(instance)
    assert any(answer.get("name") == "getppid" for answer in said)


def test_its_capabilities_are_there(opened: Opened) -> None:
    """Where the root file system is offered, fio runs out of it and writes to storage of the environment's own."""
    environment, sandbox, _ = opened
    if Capability.ROOTFS not in environment.capabilities:
        return
    job = ("--name=x", "--size=1m", "--rw=write", "--bs=64k", "--filename=x", "--thread")
    with sandbox.launch(working("fio", *job, disk=True, timeout=60)) as instance:
        said = answers(instance)
    assert said[0]["jobs"][0]["write"]["total_ios"] == 16


def test_daemons_are_beside_its_instances(opened: Opened) -> None:
    """They live, an engine has some, and none of them is counted as an instance's."""
    environment, sandbox, first = opened
    daemons = sandbox.daemons()
    assert _living(daemons) == daemons
    assert bool(daemons) == (environment.layer in ("engine", "vmm", "vm") or environment.name == "containerd")
    assert not set(daemons) & set(first.pids)


def test_facts_are_text(opened: Opened) -> None:
    """The exact configuration is there for the record, and names no path of this run."""
    _, sandbox, _ = opened
    facts = sandbox.facts()
    assert facts
    assert all(isinstance(key, str) and isinstance(text, str) for key, text in facts.items())


def test_two_at_once(opened: Opened) -> None:
    """Instances of one sandbox do not get into each other's way."""
    _, sandbox, _ = opened
    with sandbox.launch(idle(timeout=60)) as first, sandbox.launch(idle(timeout=60)) as second:
        assert not set(_payload(first.host_pids())) & set(_payload(second.host_pids()))
        assert second.wait() == 0
        assert first.wait() == 0


def _payload(pids: object) -> list[int]:
    return [pid for pid, role in dict(pids).items() if role == "payload"]  # type: ignore[call-overload]
