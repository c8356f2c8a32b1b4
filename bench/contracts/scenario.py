"""What a scenario is: which metrics it takes, what it needs, and how it takes one sample of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.core.model import Metric


class Scenario(Protocol):
    """One family of measures. It knows no environment by name."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> tuple[Metric, ...]: ...
    @property
    def needs(self) -> frozenset[str]:
        """What an environment must offer for this scenario to apply (`isobench.contracts.environment.READY`, ...)."""
        ...

    @property
    def groups(self) -> frozenset[str]:
        """ "default" where a plain `run` takes it; an opt-in scenario has an empty set."""
        ...

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """Launch what it takes and give one sample of each metric, by name. A metric that does not exist in this
        environment (no cgroup, no such event) is left out. Raises `MeasurementError`."""
        ...
