"""A limit of what an instance receives from the host, beside what it had (bench/probe/net.c is both ends).

The instance's path from the host is that of the scenario `net`. No runtime limits a network, so the harness does, as
people do by hand: by tc, on the host's end of the veth pair, whoever has laid it. A guest's tap is limited by libvirt.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from isobench.contracts.answers import first_answer
from isobench.contracts.capabilities import Capability, HasAddress
from isobench.contracts.launch import limited, working
from isobench.contracts.path import own_namespace, paths_to
from isobench.core.errors import MeasurementError, StoppedShort, Unavailable
from isobench.core.model import Metric
from isobench.scenarios import limits, net

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

RATE = 4
"""MiB a second."""


class LimitNetwork:
    """A MiB at a time over TCP, until the other end has all of it (`isobench.contracts.scenario.Scenario`)."""

    name = "limit-network"
    title = "Limit of what is received: what was set and what was had"
    needs = frozenset({Capability.PROBE, Capability.LIMIT_NETWORK})
    groups = limits.GROUP
    typical_seconds = 4.0
    expected_interference = net.Net.expected_interference
    metrics = (
        Metric(f"received-{RATE}", "second", f"receiving a MiB from the host over TCP, with a limit of {RATE} MiB/s"),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        launch = limited(working(*net.server_words(sandbox)), receive_bytes=RATE << 20)
        try:
            with sandbox.launch(launch) as instance:
                taken = _received(instance)
                instance.wait()
        except Unavailable as error:  # this host limits no network
            raise StoppedShort(error.reason, {}) from error
        return {f"received-{RATE}": taken}


def _received(instance: Instance) -> float:
    """The seconds of a MiB on the first path on which the instance's own server answers. Raises `MeasurementError`."""
    from isobench.probe.on_host import lay_veth

    server = net.server_in(first_answer(instance.stdout))
    tried = "the host cannot lay a veth pair to it"
    for path, address, ports in paths_to(instance, server.addresses, lay_veth):
        with _held(instance):
            found = net.client(address, ports.get("tcp", server.tcp), ports.get("udp", server.udp), server.token)
        values = net.seconds_of("received", found)
        if "received-mib" in values:
            return values["received-mib"]
        tried = f"{path}: {found[0].get('unavailable', 'no answer') if found else 'no answer'}"
    raise MeasurementError(f"no path from the host: {tried}")


def _held(instance: Instance) -> AbstractContextManager[None]:
    """What the instance receives is limited meanwhile; of a guest it has been since it was started."""
    from isobench.host.traffic import held, host_end

    if isinstance(instance, HasAddress):
        return nullcontext()
    return held(host_end(own_namespace(instance) or 0), RATE << 20)


SCENARIOS: tuple[Scenario, ...] = (LimitNetwork(),)
