"""Density: the memory of one more idle instance, as the slope over the number of instances, measured in four ways."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, HasHarness, Part
from isobench.contracts.launch import idle
from isobench.core.errors import StoppedShort
from isobench.core.model import Metric
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

COUNTS: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
SETTLE_SECONDS = 0.5
"""Idle time before each count, so that everything that ends with a start has ended, and late frees are done."""
REST_SECONDS = 10.0
"""The longest time that the host may take to settle before the first count."""
STEADY = 256 << 10
"""Bytes by which two readings of available memory may differ on a settled host."""
PATIENCE = 100.0
"""Seconds: if a step took longer, the next one is not taken."""
LIFETIME = 1200.0
"""Seconds after which an instance is given up; longer than all steps together."""

_WAYS = {
    "available": "decrease of available memory (MemAvailable plus the free pages on the CPUs' own lists)",
    "pss": "proportional set size of every host process that exists because of the instances",
    "cgroup": "memory charged to the instances' own cgroups",
    "kernel": "growth of slab, page tables, kernel stacks and per-cpu memory (the harness's launcher, a process beside "
    "each instance that it starts itself, has some of it)",
}
"""The four counts, each also at every number of instances."""
_PARTS = {
    "slab": ("Slab", "the kernel's slab"),
    "page-tables": ("PageTables", "page tables"),
    "kernel-stacks": ("KernelStack", "kernel stacks"),
    "per-cpu": ("Percpu", "per-cpu memory"),
}
_BESIDE = {
    "harness": "PSS of the harness's launchers, which is not a cost of the instances",
    "daemons": "growth of the daemons that serve every instance",
}


def _idle(count: int) -> str:
    return f"{count} idle instance{'s' if count > 1 else ''}"


class Density:
    """An increasing number of idle instances in one block; the slopes by least squares over all steps."""

    name = "density"
    title = "Many idle instances"
    needs = frozenset({Capability.READY})
    groups: frozenset[str] = frozenset()
    sees: Mapping[Part, tuple[str, ...]] = {
        Part.PROCESSES: ("pss*", "cgroup*"),
        Part.MEMORY: ("pss*", "harness", "daemons*"),
        Part.DAEMONS: ("daemons*",),
    }
    expected_interference = frozenset(
        {Counter.PSI_CPU, Counter.PSI_IO, Counter.PSI_MEMORY}
    )  # many instances, started at once
    metrics = (
        *(Metric(way, "byte", f"{what}: slope over the number of instances", "any") for way, what in _WAYS.items()),
        *(Metric(part, "byte", f"{what} in the kernel's count: slope", "any") for part, (_, what) in _PARTS.items()),
        *(Metric(beside, "byte", f"{what}: slope", "any") for beside, what in _BESIDE.items()),
        Metric(
            "fixed", "byte", "decrease of available memory independent of the number of instances: intercept", "any"
        ),
        *(
            Metric(f"{way}-{count}", "byte", f"{meaning}, with {_idle(count)}", "any")
            for way, meaning in _WAYS.items()
            for count in COUNTS
        ),
        *(
            Metric(f"daemons-{n}", "byte", f"PSS of the daemons that serve every instance, with {_idle(n)}", "zero")
            for n in COUNTS
        ),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        readings, reason = self.take(sandbox)
        values = results(readings)
        if reason:
            raise StoppedShort(reason, values)
        return values

    def take(self, sandbox: Sandbox) -> tuple[dict[int, dict[str, float]], str]:
        """The bytes of each count by the number of instances, and why there are no more instances, or nothing.

        Differences from the count without instances, of either sign; the daemons' are absolute.
        """
        from isobench.resources.capacity import Capacity

        capacity, readings, reason = Capacity(), dict[int, dict[str, float]](), ""
        _await_rest()
        daemons = sandbox.daemons()
        empty = _count([], daemons) | {"daemons": 0.0}
        with ExitStack() as stack:
            living: list[Instance] = []
            for count in COUNTS:
                reason = capacity.refuses(count - len(living))
                if reason:
                    break
                began = time.monotonic()
                while len(living) < count:
                    living.append(stack.enter_context(sandbox.launch(idle(timeout=LIFETIME, watch_end=False))))
                now = _count(living, daemons)
                readings[count] = {name: now[name] - empty.get(name, 0.0) for name in now}
                capacity.learn(count)
                took = time.monotonic() - began
                if took > PATIENCE and count < COUNTS[-1]:
                    reason = f"stopped at {count} instances: they took {took:.0f} s, more than {PATIENCE:.0f}"
                    break
        _await_rest()  # network namespaces are freed asynchronously, which must not disturb the next cell
        return readings, reason


def results(readings: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """The slopes, the intercept and the counts of every step, with their sign."""
    from statistics import linear_regression

    values: dict[str, float] = {}
    for name in sorted({name for counted in readings.values() for name in counted}):
        points = [(instances, counted[name]) for instances, counted in readings.items() if name in counted]
        if len(points) > 1:
            slope, intercept = linear_regression(*zip(*points, strict=True))
            values[name] = slope
            if name == "available":
                values["fixed"] = intercept
        if name in _WAYS or name == "daemons":
            values.update({f"{name}-{count}": value for count, value in points})
    return values


def _await_rest() -> None:
    """Wait until the memory of earlier instances is freed, which the kernel does late (dying cgroups, namespaces,
    per-CPU memory)."""
    from isobench.resources.memory import available_memory

    before, deadline = 0, time.monotonic() + REST_SECONDS
    while abs((now := available_memory()) - before) > STEADY and time.monotonic() < deadline:
        before = now
        time.sleep(SETTLE_SECONDS)


def _count(living: Sequence[Instance], daemons: Sequence[int]) -> dict[str, float]:
    """All counts with these instances alive; a decrease of available memory is positive."""
    from isobench.resources.memory import available_memory, cgroup_memory, kernel_memory, process_memory, settle

    time.sleep(SETTLE_SECONDS)
    settle()
    host = kernel_memory()
    found = {"available": -float(available_memory())}
    parts = {part: float(host[key]) for part, (key, _) in _PARTS.items() if key in host}
    found.update(parts, kernel=sum(parts.values()))
    pss = sum(process_memory(one.host_pids()).pss for one in living)
    if pss:  # an instance whose processes cannot be seen does not take zero bytes
        found["pss"] = float(pss)
    cgroups = [cgroup for one in living if (cgroup := cgroup_memory(one)) is not None]
    if cgroups:
        found["cgroup"] = float(sum(cgroup.total for cgroup in cgroups))
    harness = [pid for one in living if isinstance(one, HasHarness) for pid in one.harness_pids()]
    if harness:
        found["harness"] = float(process_memory(harness).pss)
    if daemons:
        found["daemons"] = float(process_memory(daemons).pss)
    return found


SCENARIOS: tuple[Scenario, ...] = (Density(),)
