"""Cold startup: the same launch with nothing of it in the page cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import idle
from isobench.core.errors import MeasurementError
from isobench.core.model import Metric, start_seconds
from isobench.core.remedies import as_root
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario


class StartupCold:
    """Page cache, dentries and inodes are dropped in an untimed step; if that fails, there is no sample."""

    name = "startup-cold"
    title = "Cold startup"
    needs = frozenset({Capability.READY})
    groups: frozenset[str] = frozenset()
    expected_interference = frozenset({Counter.PSI_IO})  # it reads everything from the disk again
    metrics = (Metric("ready", "second", "from the request to the first byte, the page cache dropped just before"),)

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.host import machine

        if not machine.drop_caches():
            remedy = as_root("make /proc/sys/vm/drop_caches writable: in a container it is not")
            raise MeasurementError("the page cache could not be dropped", remedy=remedy)
        with sandbox.launch(idle()) as instance:
            instance.wait()
        return {"ready": start_seconds(instance.events)}


SCENARIOS: tuple[Scenario, ...] = (StartupCold(),)
