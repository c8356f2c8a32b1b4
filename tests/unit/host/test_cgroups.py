"""The files of a cgroup and what is written into them, as version 1 and version 2 name them."""

from __future__ import annotations

from isobench.host.cgroups import LIMITS, limits


def _files(**given: object) -> dict[str, str]:
    pairs = (limit.partition("=") for limit in limits(**given))  # type: ignore[arg-type]
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
    assert _files(write=("254:0", 4 << 20)) == {
        **usual,
        "io.max": "254:0 wbps=4194304",
        "blkio.throttle.write_bps_device": "254:0 4194304",
    }


def test_what_another_file_bounds_is_written_after_it() -> None:
    """The kernel refuses a quota that is too small for the period that is there, and less memory with swap than
    without."""
    names = list(_files(cpu_percent=20, memory_bytes=1 << 20))
    assert names.index("memory.limit_in_bytes") < names.index("memory.memsw.limit_in_bytes")
    assert names.index("cpu.cfs_period_us") < names.index("cpu.cfs_quota_us")


def test_the_launcher_takes_them_all() -> None:
    """It ignores more than it has room for (bench/probe/isolate.h)."""
    every = limits(memory_bytes=1, cpu_percent=1, cpu_weight=1, processes=1, write=("8:0", 1))
    assert len(every) <= 16
