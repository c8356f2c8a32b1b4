"""The protocol of scenarios: which metrics a scenario takes, what it needs, and how it takes one sample of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.capabilities import Capability
    from isobench.contracts.environment import Sandbox
    from isobench.core.model import Metric


@runtime_checkable
class Scenario(Protocol):
    """One family of measurements. It knows no environment by name.

    A scenario without metrics reports facts only (`isobench.contracts.capabilities.TellsFacts`) and has no cell in a
    block: what a program inside can reach is not a cost, and does not vary from block to block.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> tuple[Metric, ...]: ...
    @property
    def needs(self) -> frozenset[Capability]:
        """What an environment must be able to do for this scenario to apply."""
        ...

    @property
    def groups(self) -> frozenset[str]:
        """ "default" if a plain `run` takes it; an opt-in scenario has an empty set."""
        ...

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """Launch the instances it needs and return one sample of each metric, by name. A metric that does not exist in
        this environment (no cgroup, no such event) is omitted. Raises `MeasurementError`."""
        ...
