"""Docker with a port of the container published on the host's loopback.

A connection from the host itself goes through docker-proxy, a process of the engine for each port, where the engine
has not been told to do without (`userland-proxy`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.environments.docker._client import engine_errors
from isobench.environments.docker._container import Container
from isobench.environments.docker.engine import Docker, DockerSandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from isobench.contracts.environment import Environment, Role

PORT = 7001
"""Where the server in the container listens, over TCP and UDP."""

_KINDS = ("tcp", "udp")


class PublishedDocker(Docker):
    """`docker` with one port published, over TCP and UDP, on ports of 127.0.0.1 that the engine chooses."""

    def sandbox(self, client: Any, workdir: Path) -> PublishedSandbox:
        return PublishedSandbox(client, self, workdir)


class PublishedSandbox(DockerSandbox):
    """Its containers publish `published_port`."""

    published_port = PORT
    image_changes = (*DockerSandbox.image_changes, *(f"EXPOSE {PORT}/{kind}" for kind in _KINDS))

    def container(self, name: str, timeout: float, *, watch_end: bool) -> Container:
        return PublishedContainer(self._client, name, timeout, watch_end=watch_end)


class PublishedContainer(Container):
    """Knows where its port is published, and which processes pass on what comes in there."""

    def published(self) -> Mapping[str, int]:
        """The ports of 127.0.0.1 by protocol ("tcp", "udp")."""
        with engine_errors("asking for its ports"):
            about = self._client.inspect_container(self._id)
        return parse_ports(about)

    def host_pids(self) -> Mapping[int, Role]:
        """The proxies are there for this container alone: helpers."""
        from isobench.host.accounting import pids_with

        pids = dict(super().host_pids())
        for kind, port in self.published().items():
            words = ("docker-proxy", f"-proto\0{kind}\0", f"-host-port\0{port}\0")
            pids.update(dict.fromkeys(pids_with(*words), "helper"))
        return pids


def parse_ports(about: Mapping[str, Any]) -> dict[str, int]:
    """The published ports by protocol, in what the engine says of a container. Raises `MeasurementError`."""
    from isobench.core.errors import MeasurementError

    try:
        ports = about["NetworkSettings"]["Ports"]
        return {kind: int(ports[f"{PORT}/{kind}"][0]["HostPort"]) for kind in _KINDS}
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise MeasurementError(f"the engine does not say where the port is published: {error!r}") from error


ENVIRONMENTS: tuple[Environment, ...] = (
    PublishedDocker(
        "docker-published",
        "Docker, published port",
        "a port published on the host's loopback",
        "docker",
        {
            "network_mode": "bridge",
            "port_bindings": {f"{PORT}/{kind}": ("127.0.0.1", None) for kind in _KINDS},
        },
        groups=("network",),
    ),
)
