"""Docker with its data outside the container's overlay: on a bind mount, a named volume, a tmpfs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.contracts.capabilities import Capability
from isobench.environments.docker.engine import Docker

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.docker._sandbox import DockerSandbox


class DockerStorage(Docker):
    """`docker` with something mounted at the data's folder. `kind` is "bind", "volume" or "tmpfs"."""

    def __init__(self, kind: str, title: str, adds: str) -> None:
        super().__init__(
            f"docker-{kind}", f"Docker, {title}", adds, "docker", {"network_mode": "bridge"}, groups=("storage",)
        )
        self.kind = kind
        if kind == "tmpfs":  # it hides the files that the image has there
            self.capabilities -= {Capability.LOWER}
        if kind != "volume":  # the limit is of the disk with the engine's own storage
            self.capabilities -= {Capability.LIMIT_DISK}

    def sandbox(self, client: Any, workdir: Path) -> DockerSandbox:
        from isobench.environments.docker._stored import StorageSandbox

        return StorageSandbox(client, self, workdir, self.kind)


ENVIRONMENTS: tuple[Environment, ...] = (
    DockerStorage("bind", "bind mount", "its data on a folder of the host, bound in, instead of the overlay"),
    DockerStorage("volume", "named volume", "its data on a named volume instead of the overlay"),
    DockerStorage("tmpfs", "tmpfs", "its data in memory instead of the overlay"),
)
