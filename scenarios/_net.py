"""The server in an instance, the client on the host, and their answers (bench/probe/net.c)."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.answers import first_answer, median, read_answers, text, times, whole
from isobench.contracts.capabilities import HasAddress, HasPublished, PublishesPort
from isobench.contracts.launch import limited, working
from isobench.contracts.path import own_namespace, paths_to
from isobench.core.errors import MeasurementError, ProbeError
from isobench.probe.on_host import lay_veth, probe_on_host
from isobench.resources.traffic import held, host_end

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from isobench.contracts.environment import Instance, Sandbox


class Server(NamedTuple):
    """The server in the instance: its ports, the token that a client needs, its IPv4 addresses."""

    tcp: int
    udp: int
    token: str
    addresses: tuple[str, ...] = ()


def server_in(answer: Mapping[str, Any]) -> Server:
    """Parse strictly, because these words become part of a command line on the host. Raises `ProbeError`."""
    token, addresses = text(answer, "token"), answer.get("addresses", [])
    if not re.fullmatch("[0-9a-f]{1,64}", token):
        raise ProbeError("the server in the instance sent no token")
    if not isinstance(addresses, list) or not all(
        re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", str(a)) for a in addresses
    ):
        raise ProbeError("the server in the instance sent something other than a list of its addresses")
    return Server(whole(answer, "tcp"), whole(answer, "udp"), token, tuple(map(str, addresses)))


def server_words(sandbox: Sandbox) -> tuple[str, ...]:
    """The server's arguments, with the published port if there is one, else with any port."""
    return ("net", "server", *([str(sandbox.published_port)] if isinstance(sandbox, PublishesPort) else []))


def over_the_path(
    instance: Instance, meanwhile: Callable[[], AbstractContextManager[None]] = nullcontext
) -> tuple[str, list[dict[str, Any]]]:
    """The first path from the host on which the instance's own server answers, and the client's results on it.

    Without one, "none" with the reasons, and no results. Raises `MeasurementError` if providing the path is the purpose
    of the environment. `meanwhile` is entered once there is a path, while the client runs.
    """
    server = server_in(first_answer(instance.stdout))
    tried = [] if server.addresses else ["the instance has no address other than its loopback's"]
    for path, address, ports in paths_to(instance, server.addresses, lay_veth):
        with meanwhile():
            found = client(address, ports.get("tcp", server.tcp), ports.get("udp", server.udp), server.token)
        if any("ns" in answer for answer in found):
            return path, found
        tried.append(f"{path}: {found[0].get('unavailable', 'no answer')}" if found else path)
    if isinstance(instance, HasPublished | HasAddress):
        raise MeasurementError(f"no path from the host: {'; '.join(tried)}")
    return f"none ({'; '.join(tried)})", []


def seconds_under_a_limit(sandbox: Sandbox, bytes_per_second: int, known: Container[str]) -> float:
    """The seconds in which an instance receives a MiB from the host. Raises `MeasurementError`, and `Unavailable` if
    the host limits no network."""
    launch = limited(working(*server_words(sandbox)), receive_bytes=bytes_per_second)
    with sandbox.launch(launch) as instance:
        path, found = over_the_path(instance, lambda: _limited(instance, bytes_per_second))
        values = seconds_of("host", found, known)
        if "host-mib" not in values:
            raise MeasurementError(f"it received nothing over the path from the host: {path}")
        instance.wait()
    return values["host-mib"]


def _limited(instance: Instance, bytes_per_second: int) -> AbstractContextManager[None]:
    """Limit what the instance receives meanwhile; a guest's limit is set when it starts."""
    if isinstance(instance, HasAddress):
        return nullcontext()
    return held(host_end(own_namespace(instance) or 0), bytes_per_second)


def client(address: str, tcp: int, udp: int, token: str) -> list[dict[str, Any]]:
    """`probe net client` on the host itself."""
    said = probe_on_host("net", "client", address, str(tcp), str(udp), token)
    return read_answers(io.BytesIO(said))


def seconds_of(path: str, found: Sequence[Mapping[str, Any]], known: Container[str]) -> dict[str, float]:
    """The medians of the operations that were possible, in seconds, as PATH-OPERATION. Raises `ProbeError`."""
    values = {}
    for answer in found:
        if "unavailable" in answer:
            continue
        name, batches = times(answer, known)
        values[f"{path}-{name}"] = median(batches) / 1e9
    return values
