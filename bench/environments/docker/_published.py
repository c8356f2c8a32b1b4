"""Containers with a published port: where it is published, and which processes forward its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import SERVER_PORT
from isobench.core.errors import MeasurementError
from isobench.environments.docker._client import engine_errors
from isobench.environments.docker._container import DockerInstance
from isobench.environments.docker._sandbox import DockerSandbox
from isobench.processes.accounting import pids_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from isobench.contracts.environment import Role

_KINDS = ("tcp", "udp")


class PublishedSandbox(DockerSandbox):
    """Its containers publish `published_port`."""

    published_port = SERVER_PORT
    image_changes = (*DockerSandbox.image_changes, *(f"EXPOSE {SERVER_PORT}/{kind}" for kind in _KINDS))

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
        pids = dict(super().host_pids())
        for kind, port in self.published().items():
            words = ("docker-proxy", f"-proto\0{kind}\0", f"-host-port\0{port}\0")
            pids.update(dict.fromkeys(pids_with(*words), "helper"))
        return pids


def parse_ports(about: Mapping[str, Any]) -> dict[str, int]:
    """The published ports by protocol, from the engine's description of a container. Raises `MeasurementError`."""
    try:
        ports = about["NetworkSettings"]["Ports"]
        return {kind: int(ports[f"{SERVER_PORT}/{kind}"][0]["HostPort"]) for kind in _KINDS}
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise MeasurementError(f"the engine does not say where the port is published: {error!r}") from error
