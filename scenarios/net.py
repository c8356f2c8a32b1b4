"""What the network costs: inside an instance over its loopback, and over the path between the host and the instance.

The probe is both ends (bench/probe/net.c): a server in the instance that knows a token, a client in the instance or on
the host. Each end stays on the first CPU that it may use. The path from the host is the one that there is: a port of
the host's loopback where the environment publishes one, or a guest's address behind its tap (no other then, and an
error where nothing answers there); the loopback where the instance shares the host's network, an address of the
instance where the host reaches one (a Docker bridge), else a veth pair laid into its network namespace, untimed;
`facts` say which. Where there is none (a guest without a network card) the `host-` metrics do not exist.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.answers import answers, at_least, first_answer, read_answers, text, times, whole
from isobench.contracts.capabilities import Capability, HasAddress, HasPublished, PublishesPort
from isobench.contracts.launch import working
from isobench.contracts.path import paths_to
from isobench.core.errors import MeasurementError, ProbeError
from isobench.core.model import Metric
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

_MEANINGS = {
    "tcp": "sending 1 byte over TCP and getting it back",
    "udp": "sending 1 byte over UDP and getting it back",
    "connect": "opening a TCP connection, one request and its answer, and closing it",
    "mib": "sending 1 MiB over TCP, until the other end has all of it",
}
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
    )  # its two ends share a CPU; packets are interrupts
    metrics = tuple(
        Metric(f"{path}-{what}", "second", f"{meaning}, {where}")
        for path, where in _PATHS.items()
        for what, meaning in _MEANINGS.items()
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(working("net", "loopback")) as instance:
            values = seconds_of("loopback", at_least(1, answers(instance)))
        with sandbox.launch(working(*server_words(sandbox))) as instance:
            _, found = _over_the_path(instance)
            values.update(seconds_of("host", found))
            instance.wait()
        return values

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The path from the host to the instances of this sandbox, and why there is no loopback, if so."""
        with sandbox.launch(working("net", "loopback")) as instance:
            loopback = answers(instance)
        with sandbox.launch(working(*server_words(sandbox))) as instance:
            path, _ = _over_the_path(instance)
            instance.wait()
        missing = [str(answer["unavailable"]) for answer in loopback if "unavailable" in answer]
        return {"path": path, **({"without.loopback": missing[0]} if missing else {})}


class Server(NamedTuple):
    """The server in the instance: its ports, the token that a client needs, its IPv4 addresses."""

    tcp: int
    udp: int
    token: str
    addresses: tuple[str, ...] = ()


def server_in(answer: Mapping[str, Any]) -> Server:
    """Parse strictly, because these words go to a command line on the host. Raises `ProbeError`."""
    token, addresses = text(answer, "token"), answer.get("addresses", [])
    if not re.fullmatch("[0-9a-f]{1,64}", token):
        raise ProbeError("the server in the instance sent no token")
    if not isinstance(addresses, list) or not all(
        re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", str(a)) for a in addresses
    ):
        raise ProbeError("the server in the instance sent something other than a list of its addresses")
    return Server(whole(answer, "tcp"), whole(answer, "udp"), token, tuple(map(str, addresses)))


def server_words(sandbox: Sandbox) -> tuple[str, ...]:
    """The server, on the published port if there is one, else on any."""
    return ("net", "server", *([str(sandbox.published_port)] if isinstance(sandbox, PublishesPort) else []))


def _over_the_path(instance: Instance) -> tuple[str, list[dict[str, Any]]]:
    """The first path from the host on which the instance's own server answers, and the client's results on it."""

    from isobench.probe.on_host import lay_veth

    server = server_in(first_answer(instance.stdout))
    tried = [] if server.addresses else ["the instance has no address other than its loopback's"]
    for path, address, ports in paths_to(instance, server.addresses, lay_veth):
        found = client(address, ports.get("tcp", server.tcp), ports.get("udp", server.udp), server.token)
        if any("ns" in answer for answer in found):
            return path, found
        tried.append(f"{path}: {found[0].get('unavailable', 'no answer')}" if found else path)
    if isinstance(instance, HasPublished | HasAddress):
        raise MeasurementError(f"no path from the host: {'; '.join(tried)}")
    return f"none ({'; '.join(tried)})", []


def client(address: str, tcp: int, udp: int, token: str) -> list[dict[str, Any]]:
    """`probe net client` on the host itself."""
    from isobench.probe.on_host import probe_on_host

    said = probe_on_host("net", "client", address, str(tcp), str(udp), token)
    return read_answers(io.BytesIO(said))


def seconds_of(path: str, found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    from statistics import median

    values = {}
    for answer in found:
        if "unavailable" in answer:
            continue
        name, batches = times(answer, _MEANINGS)
        values[f"{path}-{name}"] = median(batches) / 1e9
    return values


SCENARIOS: tuple[Scenario, ...] = (Net(),)
