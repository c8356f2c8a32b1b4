"""Docker with a port of the container published on the host's loopback.

A connection from the host itself goes through docker-proxy, of which the engine starts one for each port, unless the
engine's option `userland-proxy` is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.environments.docker._client import engine_errors
from isobench.environments.docker._container import DockerInstance
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

    def instance(self, name: str, timeout: float, *, watch_end: bool) -> DockerInstance:
        return PublishedDockerInstance(self._client, name, timeout, watch_end=watch_end)


class PublishedDockerInstance(DockerInstance):
    """Knows where its port is published, and which processes forward connections to it."""

    def published(self) -> Mapping[str, int]:
        """The ports of 127.0.0.1 by protocol ("tcp", "udp")."""
        with engine_errors("asking for the container's ports"):
            about = self._client.inspect_container(self._id)
        return parse_ports(about)

    def host_pids(self) -> Mapping[int, Role]:
        """The proxies serve this container alone, so they are helpers."""
        from isobench.host.accounting import pids_with

        pids = dict(super().host_pids())
        for kind, port in self.published().items():
            words = ("docker-proxy", f"-proto\0{kind}\0", f"-host-port\0{port}\0")
            pids.update(dict.fromkeys(pids_with(*words), "helper"))
        return pids


def parse_ports(about: Mapping[str, Any]) -> dict[str, int]:
    """The published ports by protocol, from the engine's description of a container. Raises `MeasurementError`."""
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
