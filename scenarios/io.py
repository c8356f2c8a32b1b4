"""I/O on the environment's own storage, with fio: the cost of one operation, direct, one at a time.

The clock is the kernel's in all jobs, because fio's own wants a calibration that takes longer than they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.answers import answers, only
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import working
from isobench.core.model import Metric, Purpose
from isobench.scenarios._fio import MOST_BYTES, NothingTimed, costs, lacks_fio, read_job, results, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario

JOBS = tuple(
    read_job("io", name) for name in ("seqwrite-1m", "seqread-1m", "randread-4k", "randwrite-4k", "write-fsync-4k")
)
"""In the order in which they run: the first lays out the file."""

_TAIL = "p99"
_PURPOSES = {"randread-4k": Purpose(40, "I/O", "4 KiB random read")}


class Io:
    """One fio in one instance that runs its jobs one after the other."""

    name = "io"
    title = "I/O"
    needs = frozenset({Capability.PROBE, Capability.ROOTFS})
    groups = frozenset({"default"})
    typical_seconds = 1.0
    metrics = (
        *(Metric(job.name, "second", f"one operation: {job.meaning}", purpose=_PURPOSES.get(job.name)) for job in JOBS),
        *(
            Metric(f"{job.name}-{_TAIL}", "second", f"99th percentile of one operation: {job.meaning}", "zero")
            for job in JOBS
        ),
    )

    lacks = staticmethod(lacks_fio)

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(working("fio", *arguments(), disk=True)) as instance:
            found = results(only(answers(instance, most=MOST_BYTES)))
        values: dict[str, float] = {}
        untimed = []
        for job in JOBS:
            try:
                values |= costs(job, found.get(job.name, {}), [_TAIL])
            except NothingTimed as error:
                untimed.append(error)
        return told(values, untimed)

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The job files, for the record."""
        return {"jobs": "\n".join(job.text for job in JOBS)}


def arguments() -> list[str]:
    """fio's command line for all jobs."""
    return [word for job in JOBS for word in job.words()]


SCENARIOS: tuple[Scenario, ...] = (Io(),)
