"""Sharing: the memory of a second instance of the same image, once both have read the same file of it.

Two containers map the same page of the host's page cache; two virtual machines each keep a page of their own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from isobench.contracts.answers import first_answer, whole
from isobench.contracts.capabilities import Capability, Part
from isobench.contracts.launch import working
from isobench.core.model import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

FILE = "usr/bin/fio"
"""The largest file of the shared root file system."""


class Sharing:
    """Two instances, each with the same file of its root file system mapped and read."""

    name = "sharing"
    title = "What a second instance shares with the first"
    needs = frozenset({Capability.PROBE, Capability.ROOTFS})
    groups: frozenset[str] = frozenset()
    sees: Mapping[Part, tuple[str, ...]] = {Part.MEMORY: ("alone", "second", "shared")}
    metrics = (
        Metric("file", "byte", f"the size of the file that both read, {FILE}"),
        Metric("cached", "byte", "the part of it in the page cache that the second instance sees (mincore)", "zero"),
        Metric("alone", "byte", "PSS of the first instance's host processes while it is alone"),
        Metric("second", "byte", "what the second instance adds to the PSS of both", "any"),
        Metric("shared", "byte", "pages of the second instance's host processes that others map too (smaps)", "zero"),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.resources.memory import process_memory

        with ExitStack() as stack:
            first, _ = _mapped(sandbox, stack)
            alone = process_memory(first.host_pids())
            second, values = _mapped(sandbox, stack)
            both = process_memory({**first.host_pids(), **second.host_pids()})
            other = process_memory(second.host_pids())
            for instance in (first, second):
                instance.wait()
        if alone.pss and other.pss:  # otherwise the host's processes cannot be seen
            values["alone"] = float(alone.pss)
            values["second"] = float(both.pss - alone.pss)
            values["shared"] = float(other.rss - other.uss)
        return values


def _mapped(sandbox: Sandbox, stack: ExitStack) -> tuple[Instance, dict[str, float]]:
    """An instance that has the file mapped, with the file's size and how much of it is in the page cache, in bytes."""
    instance = stack.enter_context(sandbox.launch(working("map", FILE, disk=True)))
    answer = first_answer(instance.stdout)
    return instance, {"file": float(whole(answer, "bytes")), "cached": float(whole(answer, "resident"))}


SCENARIOS: tuple[Scenario, ...] = (Sharing(),)
