"""Which metrics cannot be taken if part of an instance cannot be observed: they are omitted, with the reason."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, HasBlindSpots, LacksSomething, Part, RestsOnParts
from isobench.core.model import Skip
from isobench.host.accounting import shows_kernel_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from isobench.contracts.capabilities import Lack
    from isobench.contracts.environment import Environment, Sandbox
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


def lacking(scenarios: Iterable[Scenario], environments: Sequence[Environment]) -> list[Skip]:
    """The cells that will be missing because the host lacks what a scenario needs."""
    missing = [(scenario, why) for scenario in scenarios if (why := lacks(scenario)) is not None]
    return [Skip(e.name, s.name, *why) for s, why in missing for e in environments if s.needs <= e.capabilities]


def unfit(scenarios: Iterable[Scenario], environments: Sequence[Environment]) -> list[Skip]:
    """The environments that cannot run a workload: those that take no root file system but the shared one."""
    wanted = [scenario for scenario in scenarios if Capability.COMMAND in scenario.needs]
    reason = "it runs no programs but the probe"
    return [Skip(e.name, s.name, reason) for s in wanted for e in environments if not s.needs <= e.capabilities]


def in_words(absent: Mapping[str, str]) -> str:
    """What is absent and why, grouped by reason; empty if nothing is absent."""
    reasons = dict.fromkeys(absent.values())
    groups = {reason: [name for name, its in absent.items() if its == reason] for reason in reasons}
    return "; ".join(f"without {', '.join(names)}: {reason}" for reason, names in groups.items())
