"""Numbers that cannot be, or that are not what they are called, and numbers that may well be."""

from __future__ import annotations

import re

import pytest

from isobench.analysis.results import Estimate
from isobench.report.flags import flags
from tests.unit.report.made import context, estimate


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (estimate("syscall", "getppid", "docker", 0.01), "no system call is that fast"),
        (estimate("syscall", "getppid", "docker", 0.01)._replace(scenario="syscall-all"), "no system call"),
        (
            estimate("syscall", "getppid", "docker", 0.01)._replace(scenario="syscall-pinned", metric="getppid.p95"),
            "no system call",
        ),
        (estimate("startup", "ready", "docker", 0.5), "nothing starts faster"),
        (estimate("memory", "pss", "tcg", 0.5), "less memory"),
    ],
)
def test_impossible_numbers_are_flagged_with_a_reason(row: object, reason: str) -> None:
    """Each kind of impossible number is caught and explained."""
    (flag,) = flags(context(estimates=[row]))  # type: ignore[list-item]
    assert reason in flag.reason


def test_ordinary_numbers_are_not_flagged() -> None:
    """The made run holds nothing impossible."""
    assert flags(context()) == []


def fio(metric: str, environment: str, micros: float, ratio: float = 1.0) -> Estimate:
    """An operation of fio in the scenario that has it, with an interval of ±2 %."""
    scenario = "io-buffered" if re.search("cached|cold|buffered|sync", metric) else "io-direct"
    return estimate("io", metric, environment, ratio)._replace(scenario=scenario, median=micros * 1e-6)


CACHED = [fio("randread-4k-cached", "process", 1.0), fio("seqread-1m-cached", "process", 90.0)]
"""What a page cache gives: 4 KiB in a microsecond, 11 GB/s."""


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (fio("randread-4k-qd1", "process", 1.1), "no device answers that fast: a page cache"),
        (fio("mixed-4k-qd1", "docker", 2.0), "no device answers that fast: a page cache"),
        (fio("randread-4k-cold", "process", 1.2), "no device answers that fast: a page cache"),
        (fio("seqread-1m", "process", 95.0), "as fast as out of the page cache (90.0 µs in process)"),
        (fio("seqread-1m-cold", "docker", 88.0), "as fast as out of the page cache"),
        (fio("write-fsync-4k", "docker", 1.5), "the sync did not reach it"),
        (fio("write-fdatasync-4k", "tcg", 300.0, 0.3), "confirmed before the device has the data"),
        (fio("randread-4k-qd1", "tcg", 30.0, 0.5), "often the host's"),
        (fio("randread-4k-qd32", "tcg", 2.0, 0.5), "often the host's"),
        (fio("seqread-1m", "tcg", 400.0, 0.7), "or large requests are split differently"),
        (fio("randwrite-4k-qd1", "docker", 30.0, 0.5), "a cache that writes later"),
    ],
)
def test_storage_that_answers_out_of_memory_is_flagged(row: Estimate, reason: str) -> None:
    """A device needs 60 µs for 4 KiB and a page cache one: what is like the cache is told, and what beats the host."""
    (flag,) = flags(context(estimates=[*CACHED, row]))
    assert reason in flag.reason


def test_direct_io_is_held_against_the_environments_own_page_cache() -> None:
    """In an emulated guest a page cache takes longer than the host's does: 40 µs for 4 KiB, and so does "direct"."""
    own = fio("randread-4k-cached", "tcg", 38.0, 38.0)
    (flag,) = flags(context(estimates=[*CACHED, own, fio("randread-4k-qd1", "tcg", 40.0, 1.0)]))
    assert "38.0 µs in tcg" in flag.reason


@pytest.mark.parametrize(
    "row",
    [
        fio("randread-4k-qd1", "process", 60.0),
        fio("randread-4k-qd1", "tcg", 420.0, 7.0),
        fio("randread-4k-qd1", "docker", 58.0, 0.97),
        fio("randread-4k-qd32", "process", 2.2),
        fio("seqread-1m", "process", 160.0),
        fio("randread-4k-cached", "docker", 0.8, 0.8),
        fio("randwrite-4k-buffered", "docker", 0.9, 0.5),
        fio("randread-4k-qd1-cpu", "docker", 2.0, 0.5),
        fio("randread-4k-qd1-host-cpu", "docker", 2.0, 0.5),
        fio("randread-4k-qd1-p99.9", "docker", 90.0, 0.5),
        fio("write-fsync-4k", "process", 20.0),
        estimate("io", "create", "docker", 0.5)._replace(scenario="io-meta"),
        estimate("io", "copy-up-1m", "docker", 0.5)._replace(scenario="io-copy-up"),
    ],
)
def test_storage_that_may_be_so_is_not_flagged(row: Estimate) -> None:
    """Devices, what is to come out of memory, CPU time, tails, and what is no transfer to a device."""
    assert flags(context(estimates=[*CACHED, row])) == []


def test_storage_that_is_memory_is_not_flagged() -> None:
    """Where the record says that memory of the host answers, section 8 says so, too: that is no impossible number."""
    made = context(estimates=[*CACHED, fio("randread-4k-qd1", "docker", 1.0, 0.02)])
    assert flags(made)
    docker = made.environment("docker")
    assert docker is not None
    docker.facts["storage"] = "a tmpfs (size=1g)"
    assert flags(made) == []
