"""What the host spends on an instance while its driver runs: CPU time by process, and memory at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.capabilities import Part
from isobench.core.model import Metric
from isobench.processes.accounting import cpu_seconds, descendants, guest_seconds, is_vmm, kernel_threads, spent_between
from isobench.resources.memory import cgroup_memory, process_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Instance, Sandbox

_PARTS = {
    "payload": "the program, its server and its driver (in a guest: of the guest's virtual CPUs, as KVM counts them)",
    "helper": "what serves the instance alone: shim, conmon, virtiofsd",
    "engine": "daemons",
    "kernel": "kernel threads",
    "vmm": "QEMU without its guest's time; without KVM QEMU runs the program, and its time is here",
}
_ALL = "CPU time of the host while the driver runs"
CPU = (
    Metric("host-cpu", "second", f"{_ALL}, of all processes where it can be attributed", "zero"),
    *(Metric(f"host-cpu-{part}", "second", f"the part of it in {who}", "zero") for part, who in _PARTS.items()),
)
PER_REQUEST = tuple(metric._replace(meaning=f"{metric.meaning}; per request") for metric in CPU)
CGROUP_PEAK = Metric("cgroup-peak", "byte", "the most memory that was charged to its own cgroup since its start")
_IN_USE = "of all its processes on the host when the driver has ended and the server is still there"
MEMORY = (
    Metric("pss", "byte", f"proportional set size {_IN_USE}"),
    Metric("uss", "byte", "unique set size of the same"),
    Metric("rss", "byte", "resident set size of the same"),
    Metric("cgroup", "byte", "memory charged to its own cgroup then"),
)
SEES: Mapping[Part, tuple[str, ...]] = {
    Part.PROCESSES: ("host-cpu*", "pss", "uss", "rss", "cgroup*"),
    Part.MEMORY: ("pss", "uss", "rss"),
    Part.DAEMONS: ("host-cpu", "host-cpu-engine"),
    Part.KERNEL: ("host-cpu-kernel",),
}


class Spent(NamedTuple):
    """CPU seconds so far: of each part of the instance, and of every kernel thread."""

    parts: Mapping[str, float]
    kernel: dict[int, float]


def spent(instance: Instance, sandbox: Sandbox) -> Spent:
    """A reading for `cpu_between`. Descendants of the payload count as payload, whatever their names."""
    pids = instance.host_pids()
    payload = {pid for pid, role in pids.items() if role == "payload"}
    payload.update(below for pid in tuple(payload) for below in descendants(pid))
    parts = dict.fromkeys(_PARTS, 0.0)
    for pid in {*pids, *payload}:
        seconds = cpu_seconds(pid, with_children=True)
        if is_vmm(pid):
            inside = guest_seconds(pid)
            parts["payload"] += inside
            parts["vmm"] += seconds - inside
        else:
            parts["payload" if pid in payload else "helper"] += seconds
    parts["engine"] = sum(map(cpu_seconds, sandbox.daemons()))
    return Spent(parts, kernel_threads())


def cpu_between(before: Spent, after: Spent, requests: float) -> dict[str, float]:
    """The metrics `CPU`, divided by the number of requests. Parts that the instance does not have are left out."""
    parts = {part: max(0.0, seconds - before.parts[part]) for part, seconds in after.parts.items() if seconds}
    if before.kernel:
        parts["kernel"] = max(0.0, spent_between(before.kernel, after.kernel))
    values = {"host-cpu": sum(parts.values()), **{f"host-cpu-{part}": seconds for part, seconds in parts.items()}}
    return {name: seconds / requests for name, seconds in values.items()} if parts else {}


def memory_of(instance: Instance, *, is_served: bool) -> dict[str, float]:
    """The metrics `MEMORY`, if there is a server (a program has already exited), and `CGROUP_PEAK`."""
    cgroup = cgroup_memory(instance)
    found = {} if cgroup is None else {"cgroup": cgroup.total, "cgroup-peak": cgroup.peak or 0}
    if is_served:
        found.update(process_memory(instance.host_pids())._asdict())
    else:
        found.pop("cgroup", None)
    return {name: float(size) for name, size in found.items() if size > 0}
