"""A scenario: one family of measures, which knows no environment by name. This one times the end of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.api import Capability, Metric, Scenario, idle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.api import Sandbox


class ExampleScenario:
    """One sample of each metric a call, each from a fresh instance."""

    name = "example-end"
    title = "The end of a program"
    needs = frozenset({Capability.READY})
    groups: frozenset[str] = frozenset()  # with "default" a plain `isobench run` takes it
    metrics = (Metric("exit", "second", "from telling the program to finish until it has ended"),)

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """Lower is better, in seconds or bytes. A metric that does not exist in this environment is left out; one that
        should exist and failed raises `MeasurementError`."""
        with sandbox.launch(idle()) as instance:
            instance.wait()
        return {"exit": (instance.events["exited"] - instance.events["released"]) / 1e9}


SCENARIOS: tuple[Scenario, ...] = (ExampleScenario(),)
