"""A limit of what an instance receives from the host, and the rate that it got (bench/probe/net.c is both ends).

The instance's path from the host is that of the scenario `net`. Runtimes do not limit a network, so the harness does,
as people do by hand: with tc, on the host's end of the veth pair. A guest's tap is limited by libvirt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.core.errors import StoppedShort, Unavailable
from isobench.core.model import Metric
from isobench.scenarios import limits, net

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario

RATE = 4
"""MiB a second."""


class LimitNetwork:
    """A MiB at a time over TCP, until the other end has all of it (`isobench.contracts.scenario.Scenario`)."""

    name = "limit-network"
    title = "Limit of received bytes: set and reached"
    needs = frozenset({Capability.PROBE, Capability.LIMIT_NETWORK})
    groups = limits.GROUP
    typical_seconds = 4.0
    expected_interference = net.Net.expected_interference
    metrics = (
        Metric(f"received-{RATE}", "second", f"receiving a MiB from the host over TCP, with a limit of {RATE} MiB/s"),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.scenarios import _net

        try:
            return {f"received-{RATE}": _net.seconds_under_a_limit(sandbox, RATE << 20, net.OPERATIONS)}
        except Unavailable as error:  # this host cannot limit a network
            raise StoppedShort(error.reason, {}) from error


SCENARIOS: tuple[Scenario, ...] = (LimitNetwork(),)
