"""The cost of reading how much an instance uses, and the age of that reading.

It is read as a monitoring tool would: from the files of the cgroup, the engine's API, libvirt. Its age comes from the
CPU clock of the program itself (or of the VMM that runs it), which has nanoseconds: how long ago that clock showed the
value.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.answers import first_answer, median, next_answer
from isobench.contracts.capabilities import Capability, Part, TellsUse
from isobench.contracts.launch import idle, working
from isobench.core.errors import StoppedShort
from isobench.core.model import Metric
from isobench.host.counters import Counter
from isobench.processes.accounting import cpu_seconds
from isobench.scenarios import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

READINGS = 5
"""Readings of an idle instance, and of a busy one. An engine may take a second for each."""
_GLANCE = 0.005
"""Seconds between two readings of the program's own clock."""


class Monitoring:
    """One instance, idle and then busy (`isobench.contracts.scenario.Scenario`)."""

    name = "monitoring"
    title = "Monitoring: reading what an instance uses"
    needs = frozenset({Capability.PROBE})
    groups = limits.GROUP
    typical_seconds = 1.0
    sees: Mapping[Part, tuple[str, ...]] = {Part.PROCESSES: ("age",), Part.DAEMONS: ("cpu",)}
    expected_interference = frozenset({Counter.PSI_CPU})
    metrics = (
        Metric("read", "second", "reading the CPU time and the memory of an instance once"),
        Metric("cpu", "second", "CPU time of one reading: of isobench, and of the daemons that serve the instance"),
        Metric("age", "second", "how old the CPU time of a busy program is once it has been read", "any"),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(working("burn", "1", "1")) as instance:
            if not isinstance(instance, TellsUse):
                raise StoppedShort("nothing tells what its instances use", {})
            values = _cost(sandbox, instance)
            pid = _payload(instance)
            if pid:
                values["age"] = _age(instance, instance, pid)
            else:
                _burn(instance)
            for _ in ("stall", "work"):
                limits.go_on(instance)
                next_answer(instance.stdout)
            instance.wait()
        return values

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """What is read."""
        with sandbox.launch(idle()) as instance:
            told = instance.use_told_by if isinstance(instance, TellsUse) else "nothing"
            instance.wait()
        return {"reads": told}


def _cost(sandbox: Sandbox, instance: TellsUse) -> dict[str, float]:
    """The cost of one reading of an idle instance; the first one does not count."""
    instance.use()
    daemons = sandbox.daemons()
    taken = []
    before = time.process_time() + sum(map(cpu_seconds, daemons))
    for _ in range(READINGS):
        began = time.monotonic()
        instance.use()
        taken.append(time.monotonic() - began)
    spent = time.process_time() + sum(map(cpu_seconds, daemons)) - before
    return {"read": median(taken), "cpu": spent / READINGS}


def _payload(instance: Instance) -> int:
    """The program's process, or that of the VMM that runs it; 0 if it cannot be seen."""
    return next((pid for pid, role in instance.host_pids().items() if role == "payload"), 0)


def _burn(instance: Instance) -> None:
    """Keep the program busy from now on."""
    limits.go_on(instance)
    first_answer(instance.stdout)


def _age(instance: Instance, told: TellsUse, pid: int) -> float:
    """The age of the reported CPU time of a busy program, in seconds."""
    began = cpu_seconds(pid) - told.use().cpu_seconds
    _burn(instance)
    ages = []
    with _clock(pid) as seen:
        for _ in range(READINGS):
            time.sleep(10 * _GLANCE)
            cpu = told.use().cpu_seconds
            ages.append(time.monotonic() - when(seen, began + cpu))
    return median(ages)


@contextmanager
def _clock(pid: int) -> Iterator[Sequence[tuple[float, float]]]:
    """Readings of a process's CPU clock: pairs of time and CPU seconds, every few milliseconds."""
    from threading import Event, Thread

    seen, enough = [(time.monotonic(), cpu_seconds(pid))], Event()

    def look() -> None:
        while not enough.wait(_GLANCE):
            seen.append((time.monotonic(), cpu_seconds(pid)))

    looking = Thread(target=look, daemon=True)
    looking.start()
    try:
        yield seen
    finally:
        enough.set()
        looking.join()


def when(seen: Sequence[tuple[float, float]], cpu: float) -> float:
    """When a clock showed so many CPU seconds: interpolated between two readings, or the time of the first or last one
    if it is outside all of them."""
    before = seen[0]
    for moment in seen:
        if moment[1] >= cpu:
            if moment[1] == before[1]:
                return moment[0]
            return before[0] + (cpu - before[1]) / (moment[1] - before[1]) * (moment[0] - before[0])
        before = moment
    return before[0]


SCENARIOS: tuple[Scenario, ...] = (Monitoring(),)
