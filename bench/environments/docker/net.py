"""Docker with a port of the container published on the host's loopback.

A connection from the host itself goes through docker-proxy, of which the engine starts one for each port, unless the
engine's option `userland-proxy` is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.contracts.capabilities import SERVER_PORT
from isobench.environments.docker.engine import Docker

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.docker._sandbox import DockerSandbox


class PublishedDocker(Docker):
    """`docker` with one port published, over TCP and UDP, on ports of 127.0.0.1 that the engine chooses."""

    def sandbox(self, client: Any, workdir: Path) -> DockerSandbox:
        from isobench.environments.docker._published import PublishedSandbox

        return PublishedSandbox(client, self, workdir)


ENVIRONMENTS: tuple[Environment, ...] = (
    PublishedDocker(
        "docker-published",
        "Docker, published port",
        "a port published on the host's loopback",
        "docker",
        {
            "network_mode": "bridge",
            "port_bindings": {f"{SERVER_PORT}/{kind}": ("127.0.0.1", None) for kind in ("tcp", "udp")},
        },
        groups=("network",),
    ),
)
