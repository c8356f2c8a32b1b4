"""Memory: what the host spends on one idle instance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, Part
from isobench.contracts.launch import idle
from isobench.core.model import Metric, Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario

SETTLE_SECONDS = 0.05
"""Idle time before the count, so that everything that ends with the start has ended (an OCI runtime, page tables)."""

_PURPOSE = Purpose(20, "Memory", "per instance")


class Memory:
    """One idle instance, counted through its processes and through its cgroup."""

    name = "memory"
    title = "Memory of one idle instance"
    needs = frozenset({Capability.READY})
    groups = frozenset({"default"})
    typical_seconds = 0.1
    sees: Mapping[Part, tuple[str, ...]] = {
        Part.PROCESSES: ("pss", "pss-payload", "pss-helper", "uss", "rss", "cgroup*"),
        Part.MEMORY: ("pss*", "uss", "rss"),
        Part.DAEMONS: ("pss-daemons",),
    }
    metrics = (
        Metric(
            "pss",
            "byte",
            "proportional set size of every host process that exists because of the instance",
            purpose=_PURPOSE,
        ),
        Metric("pss-payload", "byte", "the part of it in the program itself (for a guest: QEMU)"),
        Metric("pss-helper", "byte", "the part of it in its helpers: shim, conmon, virtiofsd"),
        Metric("pss-daemons", "byte", "of the daemons that serve every instance: counted once, and in no other metric"),
        Metric("uss", "byte", "unique set size of these processes: pages that nobody else shares"),
        Metric("rss", "byte", "resident set size of these processes, shared pages counted in full"),
        Metric(
            "cgroup",
            "byte",
            "memory charged to its own cgroup (in batches: up to 64 pages per CPU too much)",
            purpose=_PURPOSE,
        ),
        Metric("cgroup-anonymous", "byte", "the anonymous part of the cgroup's count", "zero"),
        Metric("cgroup-file", "byte", "the page cache in the cgroup's count", "zero"),
        Metric("cgroup-kernel", "byte", "the kernel's memory in the cgroup's count", "zero"),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.resources.memory import add_up, by_role, cgroup_memory, process_memory

        with sandbox.launch(idle()) as instance:
            time.sleep(SETTLE_SECONDS)
            pids = instance.host_pids()
            whole = process_memory(pids)
            found = {"pss": whole.pss, "uss": whole.uss, "rss": whole.rss}
            found.update({f"pss-{role}": part.pss for role, part in by_role(pids).items()})
            found["pss-daemons"] = process_memory(sandbox.daemons()).pss
            values = {name: float(size) for name, size in found.items() if size > 0}  # a process takes something
            add_up()
            cgroup = cgroup_memory(instance)
            if cgroup is not None:
                values["cgroup"] = float(cgroup.total)
                parts = {"anonymous": cgroup.anonymous, "file": cgroup.file, "kernel": cgroup.kernel}
                values.update({f"cgroup-{part}": float(size) for part, size in parts.items() if size is not None})
            instance.wait()
        return values


SCENARIOS: tuple[Scenario, ...] = (Memory(),)
