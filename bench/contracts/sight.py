"""Which metrics cannot be taken if part of an instance cannot be observed: they are omitted, with the reason."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import HasBlindSpots, LacksSomething, Part, RestsOnParts
from isobench.processes.accounting import shows_kernel_threads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.capabilities import Lack
    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario


def unseen(sandbox: Sandbox) -> Mapping[Part, str]:
    """The parts of this sandbox's instances that cannot be observed, each with the reason."""
    found = sandbox.unseen() if isinstance(sandbox, HasBlindSpots) else {}
    if shows_kernel_threads():
        return found
    return {**found, Part.KERNEL: "the kernel's threads are not shown in this PID namespace, and cpu is without theirs"}


def hidden(scenario: Scenario, blind_spots: Mapping[Part, str]) -> dict[str, str]:
    """The metrics that depend on a part that cannot be observed, each with the reason."""
    if not isinstance(scenario, RestsOnParts):
        return {}
    return {
        metric.name: reason
        for part, reason in blind_spots.items()
        for metric in scenario.metrics
        if any(fnmatchcase(metric.name, pattern) for pattern in scenario.sees.get(part, ()))
    }


def lacks(scenario: Scenario) -> Lack | None:
    """Why this host as a whole cannot run a scenario, and the remedy; None if it can, as with most scenarios."""
    return scenario.lacks() if isinstance(scenario, LacksSomething) else None


def in_words(absent: Mapping[str, str]) -> str:
    """What is absent and why, grouped by reason; empty if nothing is absent."""
    reasons = dict.fromkeys(absent.values())
    groups = {reason: [name for name, its in absent.items() if its == reason] for reason in reasons}
    return "; ".join(f"without {', '.join(names)}: {reason}" for reason, names in groups.items())
