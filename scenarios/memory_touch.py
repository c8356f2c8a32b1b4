"""Memory given and memory spent: after the start, after the instance has used it, and after it has freed it.

The host does not get back what a guest's kernel has once used; what a process frees is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.contracts.answers import each_answer, whole
from isobench.contracts.capabilities import Capability, GivesMemory, Part
from isobench.contracts.launch import working
from isobench.core.model import Metric
from isobench.processes.accounting import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

BYTES = 64 << 20
"""What an instance without its own memory touches: 64 MiB. A guest touches all its memory."""


class MemoryTouch:
    """One instance, counted by the PSS of its host processes at three moments."""

    name = "memory-touch"
    title = "Memory given, used and returned"
    needs = frozenset({Capability.PROBE})
    groups: frozenset[str] = frozenset()
    sees: Mapping[Part, tuple[str, ...]] = {Part.MEMORY: ("started", "touched", "freed")}
    metrics = (
        Metric("given", "byte", "memory given to a guest"),
        Metric("kernel", "byte", "the part of it that the guest's kernel uses before any program runs", "zero"),
        Metric("started", "byte", "host memory spent once the instance is ready"),
        Metric(
            "touched",
            "byte",
            "host memory spent once the instance has touched its memory (64 MiB; a guest all it has)",
        ),
        Metric("freed", "byte", "host memory spent after the instance has freed that memory"),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        given = sandbox.memory_bytes if isinstance(sandbox, GivesMemory) else None
        with sandbox.launch(working("touch", "0" if given else str(BYTES))) as instance:
            answers = each_answer(instance)
            total = _next(answers, "total")
            spent = {"started": _spent(instance)}
            for wanted in ("touched", "freed"):
                instance.stdin.write(b"\n")
                _next(answers, wanted)
                spent[wanted] = _spent(instance)
            instance.wait()
        values = {name: size for name, size in spent.items() if size}  # none: its processes cannot be seen
        if given:
            values.update(given=float(given), kernel=float(given - total))
        return values

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """Whether the host merges equal pages meanwhile, so that guests share pages."""
        told = {name: text_of(f"/sys/kernel/mm/ksm/{name}") for name in ("run", "pages_sharing")}
        return {f"ksm.{name}": text for name, text in told.items() if text}


def _next(answers: Iterator[dict[str, Any]], wanted: str) -> int:
    return whole(next(answers, {}), wanted)


def _spent(instance: Instance) -> float:
    from isobench.resources.memory import process_memory

    return float(process_memory(instance.host_pids()).pss)


SCENARIOS: tuple[Scenario, ...] = (MemoryTouch(),)
