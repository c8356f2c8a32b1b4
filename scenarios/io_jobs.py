"""I/O with fio in depth: rates, latency percentiles and CPU time of one operation. Opt-in.

`io-direct` bypasses the instance's page cache. `io-buffered` uses it: with cached data, with data that are not cached,
and with synced writes. One instance runs all jobs of a scenario on one file, which is laid out once.

What a guest's direct I/O costs the host is not the guest's own CPU time but QEMU's. The harness counts that from one
answer to the next, so each job has a fio of its own there. It subtracts the cost of fio's start and end, measured as a
fio with one operation: the mean of the two right before and right after the job, because the CPU's speed may drift. In
other environments the instance's CPU time is the host's. Buffered writes reach the disk later, at somebody else's
expense, so they have no such count.

Cold means that nothing of the file is in the instance's page cache when the job begins, verified by mincore, after the
instance has dropped it and the host has dropped all of its caches. If a page stays (a tmpfs) or the host's caches
cannot be dropped, there is no cold sample, and `facts` says so.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.answers import each_answer, whole
from isobench.contracts.capabilities import Capability, GivesMemory
from isobench.contracts.launch import working
from isobench.core.model import Metric
from isobench.host.counters import Counter
from isobench.processes.accounting import cpu_seconds
from isobench.scenarios._fio import (
    MOST_BYTES,
    PERCENTILES,
    Job,
    NothingTimed,
    costs,
    engine,
    lacks_fio,
    operations,
    read_job,
    results,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

FILE = "isobench.fio"
SHORT = "20ms"
"""How long a job runs if only its facts are needed."""

_ON_HOST = "host-cpu"
_TAILS = {
    "p50": "the median latency",
    "p99": "the 99th percentile of the latency",
    "p99.9": "the latency that one in a thousand exceeds (the highest, where there were fewer operations)",
}


class Step(NamedTuple):
    """One fio in the instance: the preparation of its file ("cold", "warm" or nothing), and its jobs."""

    before: str
    jobs: tuple[Job, ...]


class Said(NamedTuple):
    """The answer of one instance: fio's results by job, its version, and whether cold and warm took effect."""

    jobs: Mapping[str, Mapping[str, Any]]
    spent: Mapping[str, Sequence[float]]
    """CPU seconds of QEMU and its helpers while each fio of that job ran; zeros if the instance is not a guest."""
    version: str
    temperatures: Sequence[str]
    cold: bool
    """Whether every drop of the caches took effect, inside and outside."""


class IoJobs:
    """Some job files, one instance (`isobench.contracts.scenario.Scenario`)."""

    needs = frozenset({Capability.PROBE, Capability.ROOTFS})
    groups: frozenset[str] = frozenset()
    expected_interference = frozenset({Counter.PSI_IO})  # a queue of 32 waits even on an idle host

    def __init__(
        self, name: str, title: str, steps: Sequence[tuple[str, Sequence[str]]], *, on_host: bool = False
    ) -> None:
        """`on_host`: each step is one job, whose CPU time on the host is counted too."""
        self.name = name
        self.title = title
        self.steps = [Step(before, tuple(read_job(name, job) for job in jobs)) for before, jobs in steps]
        self.layout = read_job(name, "layout")
        self.start = read_job(name, "start") if on_host else None
        metrics = [metric for step in self.steps for job in step.jobs for metric in _metrics(job)]
        metrics += [_on_host(job) for step in self.steps for job in step.jobs if on_host]
        self.metrics = tuple(metrics)

    lacks = staticmethod(lacks_fio)

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        said = self._run(sandbox)
        values: dict[str, float] = {}
        untimed = []
        for number, step in enumerate(self.steps):
            if step.before == "cold" and not said.cold:
                continue
            for job in step.jobs:
                try:
                    values |= costs(job, said.jobs.get(job.name, {}), PERCENTILES, cpu=True)
                except NothingTimed as error:
                    untimed.append(error)
                    continue
                if self.start is not None:
                    starts = said.spent[self.start.name][number + 1 : number + 3]
                    inside = values.get(f"{job.name}-cpu", 0.0)
                    values[f"{job.name}-{_ON_HOST}"] = _cpu_on_host(job, starts, said) if any(starts) else inside
        return told(values, untimed)

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The job files in full, and from a short run of them: fio's version and engines, and whether cold was cold."""
        said = self._run(sandbox, SHORT)
        engines = sorted(set(map(engine, said.jobs.values())))
        found = {"fio": f"{said.version}, engines {', '.join(engines)}"}
        if said.temperatures:
            found["page cache"] = "; ".join(said.temperatures)
            if not said.cold:
                found["without.cold"] = "the caches could not be dropped, so there are no cold metrics"
        return {**found, "jobs": "\n".join(dict.fromkeys(job.text for job in self.jobs))}

    @property
    def jobs(self) -> list[Job]:
        """All job files in the order in which they run.

        Before, between and after them are fios with one operation. Of the first two, the earlier one also drops what
        the layout left in the page cache, and of the last two the later one may see the guest gone: neither counts.
        """
        start = [self.start] if self.start else []
        return [self.layout, *start, *start, *(job for step in self.steps for job in (*step.jobs, *start)), *start]

    def arguments(self, runtime: str = "") -> list[str]:
        """The probe's arguments (bench/probe/storage.c)."""
        start = ["next", *self.start.words()] if self.start else []
        words = [*self.layout.words(), *start, *start]
        for step in self.steps:
            words += ["next", *([f"{step.before}={FILE}"] if step.before else [])]
            words += [word for job in step.jobs for word in job.words(runtime)] + start
        return [*words, *start]

    def _run(self, sandbox: Sandbox, runtime: str = "") -> Said:
        """One instance. Whenever it has dropped its own caches and waits, the host's are dropped, too."""
        jobs: dict[str, Mapping[str, Any]] = {}
        spent: defaultdict[str, list[float]] = defaultdict(list)
        version, temperatures, cold, outside, inside = "", [], True, False, ""
        with sandbox.launch(working("fio", *self.arguments(runtime), disk=True)) as instance:
            count = partial(_spent, instance) if isinstance(sandbox, GivesMemory) else float
            before = count()
            for answer in each_answer(instance, most=MOST_BYTES):
                if answer.get("cold") == "inside":
                    outside, inside = _drop_outside(), str(answer.get("all_caches") or "dropped")
                    with suppress(OSError):  # if the instance has died, reading from it reports that
                        instance.stdin.write(b"\n")
                elif "cold" in answer:
                    cold = cold and outside and whole(answer, "resident") == 0
                    dropped = "dropped" if outside else "not dropped"
                    temperatures.append(
                        f"cold: {_resident(answer)}; all caches inside: {inside}, the host's: {dropped}"
                    )
                elif "warm" in answer:
                    temperatures.append(f"cached: {_resident(answer)}")
                else:
                    found, after = results(answer), count()
                    for name in found:
                        spent[name].append(after - before)
                    jobs |= found
                    before = after
                    version = str(answer.get("fio version", ""))
        return Said(jobs, spent, version, list(dict.fromkeys(temperatures)), cold)


def _spent(instance: Instance) -> float:
    """CPU seconds so far of every process on the host that exists because of the instance."""
    return sum(map(cpu_seconds, instance.host_pids()))


def _cpu_on_host(job: Job, starts: Sequence[float], said: Said) -> float:
    """CPU seconds of one operation of a guest on the host, without those of fio's start and end.

    A difference of either sign: it includes the variation from one start to the next, and so does its interval.
    """
    return (said.spent[job.name][0] - sum(starts) / len(starts)) / operations(job, said.jobs[job.name])


def _drop_outside() -> bool:
    """Drop the host's caches. Retried, because pages that others read meanwhile look as if nothing was dropped."""
    from isobench.host.machine import drop_caches

    return any(drop_caches() for _ in range(3))


def _resident(answer: Mapping[str, Any]) -> str:
    resident, pages = whole(answer, "resident"), whole(answer, "pages")
    return f"{resident} of the file's {pages} pages in the instance's page cache"


def _metrics(job: Job) -> list[Metric]:
    whose = "of the sync alone" if job.syncs else "of one operation"
    return [
        Metric(job.name, "second", f"one operation: {job.meaning}"),
        *(
            Metric(f"{job.name}-{tail}", "second", f"{words} {whose}: {job.meaning}", "zero")
            for tail, words in _TAILS.items()
        ),
        Metric(f"{job.name}-cpu", "second", f"CPU time of one operation inside the instance: {job.meaning}", "zero"),
    ]


def _on_host(job: Job) -> Metric:
    meaning = f"CPU time of one operation on the host (of a guest's: QEMU's): {job.meaning}"
    return Metric(f"{job.name}-{_ON_HOST}", "second", meaning, "any")


SCENARIOS: tuple[Scenario, ...] = (
    IoJobs(
        "io-direct",
        "Direct I/O",
        [
            ("", ("seqread-1m",)),
            ("", ("randread-4k-qd1",)),
            ("", ("randread-4k-qd32",)),
            ("", ("mixed-4k-qd1",)),
            ("", ("randwrite-4k-qd1",)),
            ("", ("randwrite-4k-qd32",)),
            ("", ("seqwrite-1m",)),
        ],
        on_host=True,
    ),
    IoJobs(
        "io-buffered",
        "I/O through the page cache",
        [
            ("warm", ("randread-4k-cached", "seqread-1m-cached")),
            ("cold", ("randread-4k-cold",)),
            ("cold", ("seqread-1m-cold",)),
            ("", ("write-fsync-4k", "write-fdatasync-4k", "randwrite-4k-buffered", "seqwrite-1m-buffered")),
        ],
    ),
)
