"""Which metrics cannot be taken where something of an instance is out of sight: they are left out, and it is said."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import HasBlindSpots, LacksSomething, Part, RestsOnParts
from isobench.core.model import Skip
from isobench.host.accounting import shows_kernel_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from isobench.contracts.capabilities import Lack
    from isobench.contracts.environment import Environment, Sandbox
    from isobench.contracts.scenario import Scenario


def unseen(sandbox: Sandbox) -> Mapping[Part, str]:
    """What of this sandbox's instances is out of sight, each part with the reason."""
    found = sandbox.unseen() if isinstance(sandbox, HasBlindSpots) else {}
    if shows_kernel_threads():
        return found
    return {**found, Part.KERNEL: "the kernel's threads are not shown in this PID namespace, and cpu is without theirs"}


def hidden(scenario: Scenario, out_of_sight: Mapping[Part, str]) -> dict[str, str]:
    """The metrics that rest on what is out of sight, each with the reason."""
    if not isinstance(scenario, RestsOnParts):
        return {}
    return {
        metric.name: reason
        for part, reason in out_of_sight.items()
        for metric in scenario.metrics
        if any(fnmatchcase(metric.name, pattern) for pattern in scenario.sees.get(part, ()))
    }


def lacks(scenario: Scenario) -> Lack | None:
    """Why this host as a whole cannot take a scenario, and what mends that; None where it can, as for most."""
    return scenario.lacks() if isinstance(scenario, LacksSomething) else None


def lacking(scenarios: Iterable[Scenario], environments: Sequence[Environment]) -> list[Skip]:
    """Where scenarios will be missing for what the host lacks."""
    missing = [(scenario, why) for scenario in scenarios if (why := lacks(scenario)) is not None]
    return [Skip(e.name, s.name, *why) for s, why in missing for e in environments if s.needs <= e.capabilities]


def told(absent: Mapping[str, str]) -> str:
    """What is absent and why, by the reason; nothing where nothing is."""
    reasons = dict.fromkeys(absent.values())
    groups = {reason: [name for name, its in absent.items() if its == reason] for reason in reasons}
    return "; ".join(f"without {', '.join(names)}: {reason}" for reason, names in groups.items())
