"""What the network costs: inside an instance over its loopback, and over the path between the host and the instance.

The probe is both ends (bench/probe/net.c): a server in the instance that requires a token, a client in the instance or
on the host. Each end stays on the first CPU that it may use. If the environment publishes a port or has a tap, that is
the path from the host, and it is an error if nothing answers there. Otherwise the path is the loopback if the instance
shares the host's network, an address of the instance if the host reaches one (a Docker bridge), else a veth pair that
is created into its network namespace, untimed; `facts` say which. Without a path (a guest without a network card) the
`host-` metrics do not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.answers import answers, at_least
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import working
from isobench.core.model import Metric
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario

OPERATIONS = {
    "tcp": "sending 1 byte over TCP and getting it back",
    "udp": "sending 1 byte over UDP and getting it back",
    "connect": "opening a TCP connection, one request and its answer, and closing it",
    "mib": "sending 1 MiB over TCP, until the other end has all of it",
}
"""What the client does, by its name in the probe's answers."""
_PATHS = {
    "loopback": "between two processes in the instance, over its loopback",
    "host": "from the host to the instance",
}


class Net:
    """Request and response, connections and bulk over both paths (`isobench.contracts.scenario.Scenario`)."""

    name = "net"
    title = "Network"
    needs = frozenset({Capability.PROBE})
    groups: frozenset[str] = frozenset()
    expected_interference = frozenset(
        {Counter.PSI_CPU, Counter.INTERRUPTS}
    )  # its two ends share a CPU; packets cause interrupts
    metrics = tuple(
        Metric(f"{path}-{what}", "second", f"{meaning}, {where}")
        for path, where in _PATHS.items()
        for what, meaning in OPERATIONS.items()
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.scenarios import _net

        with sandbox.launch(working("net", "loopback")) as instance:
            values = _net.seconds_of("loopback", at_least(1, answers(instance)), OPERATIONS)
        with sandbox.launch(working(*_net.server_words(sandbox))) as instance:
            _, found = _net.over_the_path(instance)
            values.update(_net.seconds_of("host", found, OPERATIONS))
            instance.wait()
        return values

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The path from the host to the instances of this sandbox, and why there is no loopback if there is none."""
        from isobench.scenarios import _net

        with sandbox.launch(working("net", "loopback")) as instance:
            loopback = answers(instance)
        with sandbox.launch(working(*_net.server_words(sandbox))) as instance:
            path, _ = _net.over_the_path(instance)
            instance.wait()
        missing = [str(answer["unavailable"]) for answer in loopback if "unavailable" in answer]
        return {"path": path, **({"without.loopback": missing[0]} if missing else {})}


SCENARIOS: tuple[Scenario, ...] = (Net(),)
