"""What really goes wrong inside an instance is told as what it is: no memory, no space, no fio."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.answers import answers, each_answer
from isobench.contracts.launch import idle, working
from isobench.core.errors import MeasurementError, OutOfMemory, ProbeError
from isobench.environments.docker.engine import Docker
from isobench.environments.runtimes import _bundle, _ctr
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.resources import cgroups
from tests.contract.opening import GUEST, opened

pytestmark = [pytest.mark.root, pytest.mark.docker]

JOB = ("--name=x", "--size=64m", "--rw=write", "--bs=64k", "--filename=x", "--thread")


@pytest.mark.parametrize(
    ("configuration", "error", "words"),
    [
        (
            {
                "mem_limit": "24m",  # with less, runc itself may be killed in the container's cgroup
                "memswap_limit": "24m",
                "tmpfs": {"/data": ""},  # a disk takes pages back, if it is quick
            },
            OutOfMemory,
            ("OOM-killed (the container's limit is 24 MiB)", "fio was killed by signal 9"),
        ),
        ({"tmpfs": {"/data": "size=1m"}}, ProbeError, ("No space left on device",)),
        ({"binds": ["/dev/null:/usr/bin/fio:ro"]}, ProbeError, ("there is no fio in the root file system",)),
    ],
    ids=["memory", "space", "fio"],
)
def test_fio_fails_for_a_reason_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
    configuration: dict[str, Any],
    error: type[MeasurementError],
    words: tuple[str, ...],
) -> None:
    """The failure names its cause, and the next instance of the same sandbox is measured as if nothing had been."""
    tight = Docker("docker-tight", "", "", "docker-nonet", {"network_mode": "none", **configuration})
    monkeypatch.setattr(catalog, "environments", lambda: {tight.name: tight})
    with opened(tight.name) as sandbox:
        with pytest.raises(error) as failed, sandbox.launch(working("fio", *JOB, disk=True, timeout=60)) as instance:
            answers(instance)
        assert [word for word in words if word not in failed.value.reason] == []
        with sandbox.launch(idle()) as instance:
            assert instance.wait() == 0


def test_a_rung_made_by_hand_tells_that_it_was_killed_for_want_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of 8 MiB and a program that touches 64: the cgroup says that it was killed, and the next one runs."""
    tight = tuple(f"{limit.partition('=')[0]}=8388608" if "memory" in limit else limit for limit in cgroups.LIMITS)
    monkeypatch.setattr(cgroups, "LIMITS", tight)
    with opened("ns-all+cgroup") as sandbox:
        killed = pytest.raises(OutOfMemory, match="OOM-killed")
        with killed, sandbox.launch(working("touch", str(64 << 20), timeout=60)) as instance:
            instance.stdin.write(b"\n")
            list(each_answer(instance))
        with sandbox.launch(idle()) as instance:
            assert instance.wait() == 0


@pytest.mark.parametrize("name", ["runc", "containerd"])
def test_a_bundle_tells_that_it_was_killed_for_want_of_memory(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """runc has removed the cgroup that knew by the time it ends; in the words for a container of Docker's."""
    plain = _bundle.configuration

    def tight(*words: Any) -> dict[str, Any]:
        document = plain(*words)
        document["linux"]["resources"]["memory"]["limit"] = 24 << 20
        return document

    with opened(name) as sandbox:
        monkeypatch.setattr({"runc": _bundle, "containerd": _ctr}[name], "configuration", tight)
        killed = pytest.raises(OutOfMemory, match=r"OOM-killed \(the container's limit is 24 MiB\): ")
        with killed, sandbox.launch(working("touch", str(64 << 20), timeout=60)) as instance:
            instance.stdin.write(b"\n")
            list(each_answer(instance))
        with sandbox.launch(idle()) as instance:
            assert instance.wait() == 0


@pytest.mark.parametrize("name", ["process", pytest.param(GUEST, marks=pytest.mark.libvirt)])
def test_what_has_no_limit_of_its_own_is_killed_for_want_of_memory(name: str) -> None:
    """A cgroup that neither the launcher nor libvirt made holds 16 MiB more; its end is told as what it is."""
    run = f"isobench-{new_run_id()}"
    parents = cgroups.make_parents(run, "tight")
    holding = [Path(parent, "holding") for parent in parents]  # in version 2 the one above may have no processes
    try:
        killed = pytest.raises(OutOfMemory, match=r"OOM-killed \(the host ran out of memory\): ")
        with opened(name) as sandbox, killed, sandbox.launch(working("touch", str(64 << 20), timeout=60)) as instance:
            payload = next(pid for pid, role in instance.host_pids().items() if role == "payload")
            for folder in holding:
                folder.mkdir()
                for limit in ("memory.max", "memory.limit_in_bytes"):
                    if (folder / limit).exists():
                        (folder / limit).write_text(str(16 << 20))
                        (folder / "cgroup.procs").write_text(str(payload))
            instance.stdin.write(b"\n")
            if not any("touched" in answer for answer in each_answer(instance)):  # a guest's end is like any other
                raise ProbeError("the probe did not say how much was touched")
    finally:
        cgroups.remove(run)


@pytest.mark.parametrize("name", ["process", "runc"])
def test_another_failure_is_not_blamed_on_memory(name: str) -> None:
    """Killed by the same signal, by somebody and not for want of memory."""
    with (
        opened(name) as sandbox,
        pytest.raises(ProbeError),
        sandbox.launch(working("touch", "4096", timeout=60)) as instance,
    ):
        payload = next(pid for pid, role in instance.host_pids().items() if role == "payload")
        os.kill(payload, signal.SIGKILL)
        list(each_answer(instance))


@pytest.mark.docker
def test_an_image_that_lost_its_tag_in_use_is_swept() -> None:
    """The engine only untags an image that a container runs from; the sweep removes both."""
    from isobench.environments.docker import _client, _leftovers
    from isobench.images.rootfs import rootfs_tar
    from isobench.lifecycle.workspace import new_run_id

    run = f"isobench-{new_run_id()}"
    client = _client.connect()
    with rootfs_tar().open("rb") as file:
        label = f"LABEL {_client.LABEL}={run}"
        client.import_image_from_data(file, repository=run.lower(), tag="x", changes=[label])
    words = {"labels": {_client.LABEL: run}, "stdin_open": True}
    container = client.create_container(f"{run.lower()}:x", ["/probe", "ready"], **words)
    client.start(container["Id"])
    client.remove_image(f"{run.lower()}:x", force=True)
    wanted = {"label": f"{_client.LABEL}={run}"}
    assert client.images(filters=wanted)
    _leftovers.sweep(run)
    assert not client.images(filters=wanted) and not client.containers(all=True, filters=wanted)
    client.close()
