"""fio's job files (scenarios/fio/SCENARIO/METRIC.fio) as a command line, and the costs in fio's answer.

A job file is complete: `fio scenarios/fio/io-direct/randread-4k-qd1.fio` runs the same job by hand. Its first line says
in a comment what it does.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.capabilities import Lack
from isobench.core.errors import MeasurementError, ProbeError, StoppedShort

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

FOLDER = os.path.join(os.path.dirname(__file__), "fio")  # noqa: PTH118, PTH120 (pathlib would have to be imported)

MOST_BYTES = 1 << 19
"""More than fio's answer to any of these command lines."""

PERCENTILES = {"p50": "50.000000", "p99": "99.000000", "p99.9": "99.900000"}
"""The name in metrics -> fio's word for it."""


class Job(NamedTuple):
    """One job file."""

    name: str
    meaning: str
    text: str
    options: tuple[str, ...]

    @property
    def side(self) -> str:
        """The part of fio's answer that counts."""
        if "--unified_rw_reporting=mixed" in self.options:
            return "mixed"
        return "read" if {"--rw=read", "--rw=randread"} & set(self.options) else "write"

    @property
    def syncs(self) -> bool:
        """Whether each write is synced to the disk; fio times the sync separately."""
        return bool({"--fsync=1", "--fdatasync=1"} & set(self.options))

    def words(self, runtime: str = "") -> list[str]:
        """Its part of a command line with several jobs; `runtime` replaces the job's own."""
        own = f"--runtime={runtime}"
        options = [own if runtime and option.startswith("--runtime=") else option for option in self.options]
        return [f"--name={self.name}", "--stonewall", *options]


def read_job(scenario: str, name: str) -> Job:
    """A scenario's job by the name of its metric."""
    with open(f"{FOLDER}/{scenario}/{name}.fio", encoding="utf-8") as file:
        text = file.read()
    comment, head, *lines = text.splitlines()
    if head != f"[{name}]" or not comment.startswith("; "):
        raise ValueError(f"{scenario}/{name}.fio does not begin with its description and [{name}]")
    return Job(name, comment[2:], text, tuple(f"--{line}" for line in lines))


def lacks_fio() -> Lack | None:
    """Why this host has no usable fio, and the remedy."""
    from isobench.images.fio import host_fio

    fio = host_fio()
    return Lack(fio.why_not, fio.remedy) if fio.why_not else None


def results(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """fio's jobs by name. Raises `ProbeError` if this is not fio's answer."""
    try:
        return {str(job["jobname"]): job for job in document["jobs"]}
    except (KeyError, TypeError) as error:
        raise ProbeError(f"unexpected form of fio's answer: {error!r}") from error


class NothingTimed(MeasurementError):
    """A job ended before it timed anything. The other jobs of its cell keep their costs."""


def told(values: Mapping[str, float], untimed: Sequence[NothingTimed | StoppedShort]) -> Mapping[str, float]:
    """The values of a cell. If some jobs timed nothing, raises `StoppedShort` with the others' values and the reasons;
    if none did, raises the first `NothingTimed`."""
    if untimed and not values:
        raise untimed[0]
    if untimed:
        raise StoppedShort("; ".join(error.reason for error in untimed), values)
    return values


def costs(job: Job, result: Mapping[str, Any], percentiles: Iterable[str], *, cpu: bool = False) -> dict[str, float]:
    """Seconds of one operation by metric: the inverse of the rate, percentiles of the latency, CPU time.

    Latency is from submission to completion. fio's default excludes the submission, where most of the time goes if
    requests complete at once (a tmpfs). If each write is synced, the percentiles are the sync's: it takes the time, and
    fio has no latency of both together. Raises `ProbeError`, `MeasurementError`, `NothingTimed`.
    """
    try:
        if result["error"] != 0:
            raise MeasurementError(f"fio's job {job.name} ended with error {result['error']}")
        side = result[job.side]
        rate = float(side["iops"])
        if not 0 < rate < float("inf"):
            raise NothingTimed(f"fio's job {job.name} performed no operation")
        found = {job.name: 1 / rate}
        timed = (result["sync"] if job.syncs else side)["lat_ns"]
        if "percentile" not in timed and not timed.get("N"):
            what = "waited for no sync" if job.syncs else "timed no operation"
            raise NothingTimed(f"fio's job {job.name} {what} within its time: the disk is too slow or busy")
        latencies = timed["percentile"]
        for name in percentiles:
            found[f"{job.name}-{name}"] = float(latencies[PERCENTILES[name]]) / 1e9
        if cpu:
            share = (float(result["usr_cpu"]) + float(result["sys_cpu"])) / 100
            found[f"{job.name}-cpu"] = share * float(result["job_runtime"]) / 1e3 / operations(job, result)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ProbeError(f"unexpected form of fio's answer: {error!r}") from error
    if not all(0 <= seconds < math.inf for seconds in found.values()):
        raise ProbeError(f"unexpected form of fio's answer: {found}")
    return found


def engine(result: Mapping[str, Any]) -> str:
    """The I/O engine that a job used. Raises `ProbeError`."""
    try:
        return str(result["job options"]["ioengine"])
    except (KeyError, TypeError) as error:
        raise ProbeError(f"unexpected form of fio's answer: {error!r}") from error


def operations(job: Job, result: Mapping[str, Any]) -> int:
    """How many operations the job did."""
    return int(result[job.side]["total_ios"])
