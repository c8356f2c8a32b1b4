"""Startup: the time until the program is ready, until it has exited, and until everything it used is freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, HasSteps, Part
from isobench.contracts.launch import idle
from isobench.core.errors import MeasurementError
from isobench.core.model import Metric, Purpose
from isobench.processes.accounting import kernel_threads, spent_between

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario

_SINCE_REQUEST = {
    "created": "from the request until the mechanism says that the instance exists",
    "attached": "from the request until its standard streams are connected",
    "started": "from the request until the program is about to be run",
    "booted": "from the request until the guest's kernel has handed over to its user space",
    "ready": "from the request to the first byte that the program itself sends",
}
_TEARDOWN = {
    "exit": ("released", "exited", "from telling the program to finish until it has exited"),
    "remove": ("exited", "removed", "from its end until the engine says that it is removed"),
    "gone": ("exited", "gone", "from its end until everything it used is freed, network namespaces included"),
}
_STEPS = {
    "step-make-cgroup": "making the cgroup and writing its limits",
    "step-clone": "creating the process and its namespaces, until its first instruction",
    "step-join-cgroup": "joining the cgroup (version 1; on version 2 the process is created inside it)",
    "step-root": "mounting the new root and making it the root",
    "step-mounts": "mounting what a container has: proc, dev, pts, shm, mqueue, sys, masked paths",
    "step-caps": "dropping capabilities",
    "step-seccomp": "loading the seccomp filter",
    "step-exec": "in the program, from just before exec to its first byte",
}
"""The steps of a native start in order. They add up to `ready`, except for the time between two stamps."""
_PURPOSES = {
    "ready": Purpose(10, "Startup", "request to first byte"),
    "gone": Purpose(50, "Teardown", "end until all is freed"),
}
_CPU = ("payload", "launcher", "helper", "engine", "kernel")


class Startup:
    """One launch of the idle probe: stamps since the request, teardown, and the host's CPU time."""

    name = "startup"
    title = "Startup and teardown"
    needs = frozenset({Capability.READY})
    groups = frozenset({"default"})
    typical_seconds = 0.0
    sees: Mapping[Part, tuple[str, ...]] = {
        Part.PROCESSES: ("exit", "remove", "gone", "cpu", "cpu-payload", "cpu-helper"),
        Part.DAEMONS: ("cpu", "cpu-engine"),
        Part.END: ("gone",),
        Part.KERNEL: ("cpu-kernel",),
    }
    metrics = (
        *(
            Metric(event, "second", meaning, purpose=_PURPOSES.get(event))
            for event, meaning in (*_SINCE_REQUEST.items(), *((name, told) for name, (*_, told) in _TEARDOWN.items()))
        ),
        *(Metric(name, "second", f"the part of ready spent {what}", "any") for name, what in _STEPS.items()),
        Metric(
            "cpu",
            "second",
            "CPU time the host spent on one start and end, in all processes where it can be attributed",
            "zero",
        ),
        *(Metric(f"cpu-{who}", "second", f"the part of that CPU time spent by the {who}", "zero") for who in _CPU),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        before = kernel_threads()
        with sandbox.launch(idle()) as instance:
            status = instance.wait()
        if status != 0:  # killed while it waited: that is not the cost of a normal end
            raise MeasurementError(f"it exited with status {status} instead of 0")
        kernel = {"kernel": spent_between(before, kernel_threads())} if before else {}
        steps = steps_of(instance.events, instance.steps if isinstance(instance, HasSteps) else {})
        return {**durations(instance.events), **steps, **cpu_seconds({**instance.cpu, **kernel})}


def durations(events: Mapping[str, int]) -> dict[str, float]:
    """The metrics in seconds from the stamps in nanoseconds; an event that did not happen is omitted."""
    values = {name: (events[name] - events["requested"]) / 1e9 for name in _SINCE_REQUEST if name in events}
    for name, (begin, end, _) in _TEARDOWN.items():
        if begin in events and end in events:
            values[name] = (events[end] - events[begin]) / 1e9
    return values


def steps_of(events: Mapping[str, int], reported: Mapping[str, float]) -> dict[str, float]:
    """The steps in seconds, if the mechanism reports any: its own, and those between the events."""
    if not reported:
        return {}
    clone = (events["created"] - events["requested"]) / 1e9 - reported.get("step-make-cgroup", 0.0)
    exec_ = (events["ready"] - events["started"]) / 1e9
    values = {**reported, "step-clone": clone, "step-exec": exec_}
    return {name: values[name] for name in _STEPS if name in values}


def cpu_seconds(cpu: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds in total and by role. A daemon or the kernel may have spent none; for a process that was started,
    none means that its time could not be read."""
    idle = ("engine", "kernel")
    parts = {f"cpu-{who}": seconds for who, seconds in cpu.items() if who in _CPU and (seconds > 0 or who in idle)}
    return {"cpu": sum(parts.values()), **parts} if parts else {}


SCENARIOS: tuple[Scenario, ...] = (Startup(),)
