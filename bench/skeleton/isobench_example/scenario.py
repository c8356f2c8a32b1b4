"""A scenario: one family of measurements, independent of environments' names. This one times a program's exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.api import Capability, Metric, Scenario, idle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.api import Sandbox


class ExampleScenario:
    """One sample of each metric per call, each from a fresh instance."""

    name = "example-end"
    title = "The exit of a program"
    needs = frozenset({Capability.READY})
    groups: frozenset[str] = frozenset()  # {"default"} would include it in a plain `isobench run`
    metrics = (Metric("exit", "second", "from releasing the program until it has exited"),)

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """Lower is better, in seconds or bytes. A metric that does not exist in this environment is omitted; one that
        should exist and failed raises `MeasurementError`."""
        with sandbox.launch(idle()) as instance:
            instance.wait()
        return {"exit": (instance.events["exited"] - instance.events["released"]) / 1e9}


SCENARIOS: tuple[Scenario, ...] = (ExampleScenario(),)
