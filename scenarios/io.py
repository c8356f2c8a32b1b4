"""I/O on the environment's own storage, with fio: the cost of one operation, direct, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.answers import answers
from bench.environment import PROBE, ROOTFS
from bench.errors import MeasurementError, ProbeError
from bench.model import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bench.environment import Sandbox

COMMON = (
    "--thread",
    "--ioengine=psync",
    "--iodepth=1",
    "--direct=1",
    "--filename=isobench.fio",
    "--size=32m",
    "--time_based",
    "--runtime=100ms",
    "--clocksource=clock_gettime",
    "--stonewall",
    "--randrepeat=1",
    "--percentile_list=50:99:99.9",
)
"""What all jobs share: one thread, one operation at a time, past the page cache, on one file of 32 MiB. The clock is
the kernel's, because fio's own wants a calibration that takes longer than the jobs."""

JOBS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "seqwrite-1m": (("--rw=write", "--bs=1m"), "write", "writing 1 MiB, one after the other"),
    "seqread-1m": (("--rw=read", "--bs=1m"), "read", "reading 1 MiB, one after the other"),
    "randread-4k": (("--rw=randread", "--bs=4k"), "read", "reading 4 KiB at random"),
    "randwrite-4k": (("--rw=randwrite", "--bs=4k"), "write", "writing 4 KiB at random"),
    "write-fsync-4k": (("--rw=write", "--bs=4k", "--fsync=1"), "write", "writing 4 KiB and fsync"),
}
"""Metric -> its own options, the side of fio's result that counts, its meaning. The first lays out the file."""

_MOST_BYTES = 1 << 19


class Io:
    """One fio in one instance, its jobs one after the other."""

    name = "io"
    title = "I/O"
    needs = frozenset({PROBE, ROOTFS})
    groups = frozenset({"default"})
    metrics = tuple(
        Metric(name, "second", f"one operation: {meaning} (direct I/O, one at a time)")
        for name, (_, _, meaning) in JOBS.items()
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch("fio", *arguments()) as instance:
            said = answers(instance, most=_MOST_BYTES)
        if len(said) != 1:
            raise ProbeError(f"fio answered {len(said)} documents")
        return seconds_per_operation(said[0])

    def circumstances(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The jobs in fio's own words, for the record."""
        return {"fio": "fio " + " ".join(arguments())}


def arguments() -> list[str]:
    """fio's command line for all jobs."""
    return [word for name, (options, _, _) in JOBS.items() for word in (f"--name={name}", *COMMON, *options)]


def seconds_per_operation(document: Mapping[str, Any]) -> dict[str, float]:
    """The cost of one operation of each job: the inverse of fio's IOPS. Raises `ProbeError`, `MeasurementError`."""
    costs: dict[str, float] = {}
    try:
        jobs = {str(job["jobname"]): job for job in document["jobs"]}
        for name, (_, side, _) in JOBS.items():
            if jobs[name]["error"] != 0:
                raise MeasurementError(f"fio's job {name} ended with error {jobs[name]['error']}")
            rate = float(jobs[name][side]["iops"])
            if not 0 < rate < float("inf"):
                raise MeasurementError(f"fio's job {name} did no operation")
            costs[name] = 1 / rate
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProbeError(f"fio's answer has not the form expected: {error!r}") from error
    return costs


SCENARIOS = (Io(),)
