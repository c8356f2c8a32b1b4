"""Docker engines of a sandbox's own: one for each storage driver, one with containerd's image store, and one with a
user namespace for all containers.

The host's engine has one storage driver and no userns-remap, or all its containers have that. So another value needs
another engine. That engine differs from the host's in more than this, which is why each is compared with one of the
same make, `docker-overlay2`, and only that one with the host's.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments._mechanism import REGISTRY
from isobench.environments.docker.engine import Docker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.docker._sandbox import DockerSandbox


def _sweep(run: str) -> list[str]:
    from isobench.environments.docker._drivers import sweep

    return sweep(run)


_FUSE, _BTRFS = Tool("fuse-overlayfs", ("fuse-overlayfs",)), Tool("mkfs.btrfs", ("btrfs-progs",))
MECHANISM = Mechanism(
    "Docker with an engine of its own",
    _sweep,
    daemons=("dockerd*", "containerd*", "fuse-overlayfs"),
    tools=(_FUSE, _BTRFS),
    needs=(_FUSE.need("docker-fuse", everyday=False), _BTRFS.need("docker-btrfs", everyday=False)),
)


class DriverDocker(Docker):
    """Docker without a network, with an engine of the sandbox's own (`_drivers.py`). `driver` is the engine's name of
    its storage driver, `tool` what that needs; `is_remapped`: it has userns-remap; `in_containerd`: its images are in
    containerd's image store, and the driver is one of containerd's snapshotters."""

    mechanisms: tuple[Mechanism, ...] = (MECHANISM, REGISTRY)

    def __init__(
        self,
        name: str,
        title: str,
        adds: str,
        driver: str,
        compared_with: str = "docker-overlay2",
        *,
        tool: Tool | None = None,
        is_remapped: bool = False,
        in_containerd: bool = False,
        single_factor: bool = True,
        groups: tuple[str, ...] = ("storage",),
    ) -> None:
        super().__init__(
            name, title, adds, compared_with, {"network_mode": "none"}, single_factor=single_factor, groups=groups
        )
        self.driver = driver
        self.tool = tool
        self.is_remapped = is_remapped
        self.in_containerd = in_containerd
        if driver in ("fuse-overlayfs", "btrfs"):  # others use the disk: a process outside, a loop device
            self.capabilities -= {Capability.LIMIT_DISK}

    @contextmanager
    def open(self, workdir: Path) -> Iterator[DockerSandbox]:
        from isobench.environments.docker._drivers import opened

        with opened(self, workdir) as sandbox:
            yield sandbox


ENVIRONMENTS: tuple[Environment, ...] = (
    DriverDocker(
        "docker-overlay2",
        "Docker, an engine of its own",
        "an engine of the run's own: its data in the run's folder, its own containerd, a mount namespace",
        "overlay2",
        "docker-nonet",
        single_factor=False,
        groups=("storage", "rootless"),
    ),
    DriverDocker(
        "docker-containerd",
        "Docker, containerd's image store",
        "containerd's image store instead of a storage driver of Docker's: it also keeps the layers as they came",
        "overlayfs",
        in_containerd=True,
    ),
    DriverDocker(
        "docker-vfs",
        "Docker, vfs",
        "a whole copy of the files for each layer and each container instead of an overlay",
        "vfs",
    ),
    DriverDocker(
        "docker-fuse",
        "Docker, fuse-overlayfs",
        "an overlay in user space (fuse-overlayfs) instead of the kernel's",
        "fuse-overlayfs",
        tool=_FUSE,
    ),
    DriverDocker(
        "docker-btrfs",
        "Docker, btrfs",
        "snapshots of btrfs instead of an overlay, on a btrfs in a file (a loop device)",
        "btrfs",
        tool=_BTRFS,
        single_factor=False,
    ),
    DriverDocker(
        "docker-remap",
        "Docker, userns-remap",
        "a user namespace for all containers",
        "overlay2",
        is_remapped=True,
        groups=("rootless",),
    ),
)
