"""Storage paths: every one is written to, is what it says it is, and leaves nothing behind.

The rest of the contract they share with the environment they differ from (tests/contract/test_environments.py).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from isobench.contracts.answers import NoDirectIO, answers, each_answer
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import working
from isobench.core.errors import ProbeError, StoppedShort, Unavailable
from isobench.scenarios.io import SCENARIOS as IO
from isobench.scenarios.io_jobs import SCENARIOS as IN_DEPTH
from isobench.scenarios.io_jobs import IoJobs
from tests.busy import once
from tests.contract.opening import GUEST, opened

pytestmark = pytest.mark.root

JOB = ("--name=x", "--size=1m", "--rw=write", "--bs=64k", "--filename=x", "--thread", "--direct=1")

PATHS = {
    f"{GUEST}-iouring": ('"aio":"io_uring"', '"direct":true'),
    f"{GUEST}-writeback": ('"aio":"io_uring"', '"direct":false'),
    f"{GUEST}-qcow2": ('"driver":"qcow2"', '"aio":"native"', '"direct":true'),
    f"{GUEST}-scsi": ('"driver":"virtio-scsi-pci"', '"driver":"scsi-hd"'),
    f"{GUEST}-virtiofs": ('"driver":"vhost-user-fs-pci"', '"share":true'),
}
"""Guest -> what QEMU was really told. Newer versions of libvirt name no driver of raw disks."""

MOUNTED = {"docker-bind": "", "docker-volume": "", "docker-tmpfs": "tmpfs", "docker": None}
"""Container -> the kind of file system mounted at /data; "" for the host's own, None for no mount."""


@pytest.mark.libvirt
@pytest.mark.parametrize("name", PATHS)
def test_a_guests_storage_is_what_it_says(name: str) -> None:
    """fio writes through it, in a QEMU that has just the devices of the name; all its processes end."""
    with opened(name) as sandbox:
        with sandbox.launch(working("fio", *JOB, disk=True, timeout=60)) as instance:
            pids = dict(instance.host_pids())
            qemu = next(pid for pid, role in pids.items() if role == "payload")
            told = Path(f"/proc/{qemu}/cmdline").read_bytes().decode()
            said = answers(instance)
        assert said[0]["jobs"][0]["write"]["total_ios"] == 16
        assert [words for words in PATHS[name] if words not in told] == []
        assert ('"driver":"qcow2"' in told) == name.endswith("-qcow2")
        assert ("helper" in pids.values()) == name.endswith("-virtiofs")
        assert not [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and _command(pid)]


def _command(pid: int) -> bytes:
    """Nothing for a zombie that its parent has not yet reaped."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.libvirt
def test_9p_is_there_or_the_kernels_missing_module_is_named() -> None:
    """Found by trying: Debian's cloud kernel has no 9p."""
    try:
        with opened(f"{GUEST}-9p") as sandbox, sandbox.launch(working("fio", *JOB, disk=True, timeout=60)) as instance:
            assert answers(instance)[0]["jobs"][0]["write"]["total_ios"] == 16
    except Unavailable as error:
        assert "9p" in error.reason


@pytest.mark.docker
@pytest.mark.parametrize("name", MOUNTED)
def test_a_containers_storage_is_what_it_says(name: str) -> None:
    """What is mounted at /data in the container's own view, and that the files of the lower layer come with it."""
    with opened(name) as sandbox:
        with sandbox.launch(working("fio", *JOB, "next", "cold=x", *JOB, disk=True, timeout=60)) as instance:
            pid = next(pid for pid, role in instance.host_pids().items() if role == "payload")
            said = []
            for answer in each_answer(instance):
                said.append(answer)
                if answer.get("cold") == "inside":  # it waits, so that its process can be looked at
                    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
                    instance.stdin.write(b"\n")
        kinds = [line[line.index("-") + 1] for line in mounts if line[4] == "/data"]
        assert len(kinds) == (MOUNTED[name] is not None)
        assert not kinds or (kinds[0] == "tmpfs") == (MOUNTED[name] == "tmpfs")
        assert [a["jobs"][0]["write"]["total_ios"] for a in said if "jobs" in a] == [16, 16]
    assert name not in subprocess.run(["docker", "volume", "ls"], capture_output=True, text=True, check=True).stdout


def test_a_tmpfs_of_a_raw_process() -> None:
    """The data is on a tmpfs that is gone afterwards."""
    with opened("process-tmpfs") as sandbox:
        with sandbox.launch(working("fio", *JOB[:-1], disk=True, timeout=60)) as instance:
            assert answers(instance)[0]["jobs"][0]["write"]["total_ios"] == 16
        assert "process-tmpfs/tmpfs tmpfs" in Path("/proc/self/mounts").read_text()
    assert "process-tmpfs" not in Path("/proc/self/mounts").read_text()


@pytest.mark.tool("fio")
@pytest.mark.parametrize("scenario", IN_DEPTH, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("name", ["process", pytest.param(GUEST, marks=pytest.mark.libvirt)])
def test_every_job_has_its_costs(name: str, scenario: IoJobs) -> None:
    """Rate, percentiles and CPU time of each job, on whatever host; of a guest's on the host what QEMU spent.

    That is not held against what the guest sees: on a busy host it takes time in which QEMU had no CPU for its own. And
    a disk that others keep busy may end not one operation of a job in its time.
    """
    wanted = {metric.name for metric in scenario.metrics}
    jobs = [metric.removesuffix("-host-cpu") for metric in wanted if metric.endswith("-host-cpu")]

    def measured() -> Mapping[str, float]:
        try:
            return scenario.measure(sandbox)
        except StoppedShort as short:
            return short.values

    def is_whole(values: Mapping[str, float]) -> bool:
        if set(values) != wanted or not jobs or name != GUEST:
            return set(values) == wanted
        # each is a difference of two fios, but all together are far from what one varies by
        return 0 < sum(values[f"{job}-host-cpu"] / values[job] for job in jobs) < 4 * len(jobs)

    with opened(name) as sandbox:
        values = once(measured, is_whole)
    for job in jobs if name == "process" else ():
        assert values[f"{job}-host-cpu"] == values[f"{job}-cpu"]


@pytest.mark.tool("fio")
def test_a_file_system_without_direct_io(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ramfs refuses it, as tmpfs does before Linux 6.6: no failure, and what needs none of it is measured."""
    direct, buffered = (next(one for one in IN_DEPTH if one.name == name) for name in ("io-direct", "io-buffered"))
    tmp_path.chmod(0o711)
    subprocess.run(["mount", "-t", "ramfs", "-o", "mode=711", "ramfs", tmp_path], check=True)
    try:
        monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
        with opened("process") as sandbox:
            for scenario in (*IO, direct):
                with pytest.raises(NoDirectIO):
                    scenario.measure(sandbox)
            for verb in ("write", "read"):
                with sandbox.launch(working(verb, "direct", "4096", disk=True)) as one, pytest.raises(NoDirectIO):
                    answers(one)
            assert isinstance(buffered, IoJobs)
            assert "jobs" in buffered.facts(sandbox)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_is_told_in_fios_words() -> None:
    """A file larger than the tmpfs: the error is fio's own, not ours."""
    big = ("--name=x", "--size=600m", "--rw=write", "--bs=1m", "--filename=x", "--thread", "--fallocate=none")
    with (
        opened("process-tmpfs") as sandbox,
        pytest.raises(ProbeError, match="No space left on device"),
        sandbox.launch(working("fio", *big, disk=True, timeout=60)) as instance,
    ):
        answers(instance)


def _first_writes(name: str) -> dict[str, int]:
    """Nanoseconds of the first and a second write to each file; the least of six instances, because one can wait."""
    said: dict[str, int] = {}
    with opened(name) as sandbox:
        for _ in range(6):
            with sandbox.launch(working("copyup", disk=True, lower=True, timeout=60)) as instance:
                for answer in answers(instance):
                    said[answer["name"]] = min(said.get(answer["name"], answer["ns"][0]), answer["ns"][0])
    return said


def test_an_overlay_copies_up_once() -> None:
    """The first write to the largest file of the lower layer copies it; the second, and a plain file's, do not."""
    copied, plain = _first_writes("ns-all+overlay"), _first_writes("process")
    assert copied["copy-up-100m"] > 20 * copied["again-100m"]
    assert copied["copy-up-100m"] > 20 * plain["copy-up-100m"]
    assert copied["copy-up-100m"] > 5 * copied["copy-up-1m"]


@pytest.mark.docker
def test_dockers_lower_layer() -> None:
    """A container copies up, a container on a volume does not; both were given the same files."""
    copied, plain = _first_writes("docker"), _first_writes("docker-volume")
    assert sorted(copied) == sorted(plain)
    assert copied["copy-up-100m"] > 20 * plain["copy-up-100m"]


def test_a_tmpfs_offers_no_lower_layer() -> None:
    """What an engine mounts over the image's folder hides the files; the scenario does not apply there."""
    from isobench.planning import catalog

    environments = catalog.environments()
    assert Capability.LOWER not in environments["docker-tmpfs"].capabilities
    assert Capability.LOWER in environments["docker-volume"].capabilities
