"""The files of a cgroup and what is written into them, as version 1 and version 2 name them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from isobench.core.errors import Unavailable
from isobench.resources import cgroups
from isobench.resources.cgroups import LIMITS, DiskRates, asked_here, limited, limits, make_parents


def _files(**given: object) -> dict[str, str]:
    pairs = (limit.partition("=") for limit in limits(**given))
    return {file: value for file, _, value in pairs}


def test_without_limits_it_has_the_usual_ones() -> None:
    assert limits() == LIMITS


def test_each_limit_is_there_for_both_versions() -> None:
    """A quota is microseconds of 100 ms; the limit of writes names the disk."""
    usual = _files()
    assert _files(cpu_percent=150) == {
        **usual,
        "cpu.max": "150000 100000",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "150000",
    }
    assert _files(cpu_weight=200) == {**usual, "cpu.weight": "200", "cpu.shares": "2048"}
    small = {"memory.max": "67108864", "memory.limit_in_bytes": "67108864"}
    small |= {"memory.swap.max": "0", "memory.memsw.limit_in_bytes": "67108864"}
    assert _files(memory_bytes=64 << 20) == {**usual, **small}
    assert _files(processes=64) == {**usual, "pids.max": "64"}
    swapping = {"memory.swap.max": "1", "memory.memsw.limit_in_bytes": "67108865"}
    assert _files(memory_bytes=64 << 20, swap_bytes=1) == {**usual, **small, **swapping}
    assert _files(disk=DiskRates("254:0", 4 << 20)) == {
        **usual,
        "io.max": "254:0 wbps=4194304",
        "blkio.throttle.write_bps_device": "254:0 4194304",
    }
    assert _files(disk=DiskRates("254:0", 1, 50)) == {
        **usual,
        "io.max": "254:0 wbps=1 wiops=50",
        "blkio.throttle.write_bps_device": "254:0 1",
        "blkio.throttle.write_iops_device": "254:0 50",
    }
    assert _files(disk=DiskRates("254:0", 0, 0, 2, 60)) == {
        **usual,
        "io.max": "254:0 rbps=2 riops=60",
        "blkio.throttle.read_bps_device": "254:0 2",
        "blkio.throttle.read_iops_device": "254:0 60",
    }


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_asked_for_is_named_as_the_host_names_it(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the usual limits, and without a file that a kernel without swapaccount does not have."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    if version == 2:
        (tmp_path / "cgroup.controllers").write_text("cpu memory")
    wanted = {"memory.limit_in_bytes": "7"} if version == 1 else {"memory.max": "7", "memory.swap.max": "0"}
    assert asked_here(memory_bytes=7) == wanted and asked_here() == {}


def test_a_hierarchy_with_two_names_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd mounts cpu and cpuacct: nothing is created twice, and a controller that is not there is left out."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    for name in ("cpu,cpuacct", "memory"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).symlink_to("cpu,cpuacct")
    assert make_parents("run", "name") == tuple(f"{tmp_path}/{one}/run/name" for one in ("memory", "cpu,cpuacct"))


@pytest.mark.root
def test_a_limited_cgroup_is_gone_with_its_processes() -> None:
    """It has the limits while it lasts; a child that is left in it ends with it."""
    name = f"isobench-test-{os.getpid()}"
    try:
        with subprocess.Popen(["sleep", "60"]) as child:
            with limited(name, "one", asked_here(processes=7, memory_bytes=64 << 20)) as folders:
                assert [(folder / "pids.max").read_text() for folder in folders if (folder / "pids.max").exists()] == [
                    "7\n"
                ]
                for folder in folders:
                    (folder / "cgroup.procs").write_text(str(child.pid))
            assert child.wait() < 0 and not any(folder.exists() for folder in folders)
    finally:
        cgroups.remove(name)


@pytest.mark.root
def test_a_limit_that_cannot_be_set_is_unavailable_and_leaves_nothing() -> None:
    """The kernel refuses the value."""
    name = f"isobench-test-{os.getpid()}"
    try:
        with pytest.raises(Unavailable, match="cannot limit a cgroup"), limited(name, "one", {"pids.max": "many"}):
            pytest.fail("it was limited")
        assert not [folder for folder, _, _ in os.walk(cgroups.ROOT) if folder.endswith(f"/{name}/one")]
    finally:
        cgroups.remove(name)


def test_what_another_file_bounds_is_written_after_it() -> None:
    """The kernel refuses a quota that is too small for the period that is there, and less memory with swap than
    without."""
    names = list(_files(cpu_percent=20, memory_bytes=1 << 20))
    assert names.index("memory.limit_in_bytes") < names.index("memory.memsw.limit_in_bytes")
    assert names.index("cpu.cfs_period_us") < names.index("cpu.cfs_quota_us")


def test_the_launcher_takes_them_all() -> None:
    """It ignores more than it has room for (bench/probe/isolate.h)."""
    every = limits(memory_bytes=1, cpu_percent=1, cpu_weight=1, processes=1, disk=DiskRates("8:0", 1, 1))
    assert len(every) <= 16
