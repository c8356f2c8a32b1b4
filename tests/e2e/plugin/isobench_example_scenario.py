"""What a third party writes to add a scenario: one module, one entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import idle
from isobench.core.model import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox


class Goodbye:
    """How long a program takes to end."""

    name = "goodbye"
    title = "Goodbye"
    needs = frozenset({Capability.READY})
    groups: frozenset[str] = frozenset()
    metrics = (Metric("exit", "second", "from being told to finish until the program has ended"),)

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(idle()) as instance:
            instance.wait()
        return {"exit": (instance.events["exited"] - instance.events["released"]) / 1e9}


SCENARIOS = (Goodbye(),)
