"""Docker containers: one class, each variant a different host configuration (`_sandbox.py` has how they are run)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.contracts.mechanism import Engine, Keeper, Mechanism, Need, Tool, command
from isobench.environments._mechanism import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from isobench.contracts.environment import Environment, Layer
    from isobench.environments.docker._sandbox import DockerSandbox


def _sweep(run: str) -> list[str]:
    from isobench.environments.docker._leftovers import sweep

    return sweep(run)


def _chosen() -> str:
    from isobench.daemons.address import address

    return address().url


_DOCKERD_TOOL, _RUNC, _RUNSC = (
    Tool(name, (package,)) for name, package in (("dockerd", "docker.io"), ("runc", "runc"), ("runsc", "runsc"))
)
MECHANISM = Mechanism(
    "docker",
    _sweep,
    programs=("containerd-shim*",),
    engine=Engine("DOCKER_HOST", ("unix:///var/run/docker.sock", "unix:///run/docker.sock"), _chosen),
    keepers=(Keeper("containerd-shim", "container"),),
    daemons=("dockerd*", "containerd*", "docker-proxy"),
    cgroups=("docker", "system.slice"),
    tools=(_DOCKERD_TOOL, _RUNC, _RUNSC),
    needs=(
        _DOCKERD_TOOL.need("Docker"),
        Need(("iptables",), command("iptables"), "a private Docker engine"),
        _RUNC.need("runc, containerd and Docker"),
        _RUNSC.need("gVisor", everyday=False),
    ),
)


class Docker:
    """One variant (`isobench.contracts.environment.Environment`). `host_config` corresponds to the flags of
    `docker run`."""

    capabilities = frozenset(Capability) - {Capability.SIGNED_IMAGES, Capability.DISKS}
    layer: Layer = "engine"
    mechanisms: tuple[Mechanism, ...] = (MECHANISM, REGISTRY)

    def __init__(
        self,
        name: str,
        title: str,
        adds: str,
        compared_with: str,
        host_config: Mapping[str, Any] | None = None,
        *,
        single_factor: bool = True,
        groups: tuple[str, ...] = ("containers",),
    ) -> None:
        self.name = name
        self.title = title
        self.adds = adds
        self.compared_with: str | None = compared_with
        self.host_config = dict(host_config or {})
        self.single_factor = single_factor and compared_with is not None
        self.groups = frozenset(groups)
        if self.host_config.get("network_mode") == "host":
            self.capabilities = self.capabilities - {Capability.LIMIT_NETWORK}
        if self.host_config.get("read_only"):
            self.capabilities = self.capabilities - {
                Capability.ROOTFS,
                Capability.LOWER,
                Capability.COMMAND,
                Capability.LIMIT_DISK,
            }

    def sandbox(self, client: Any, workdir: Path) -> DockerSandbox:
        """The sandbox that `open` yields."""
        from isobench.environments.docker._sandbox import DockerSandbox

        return DockerSandbox(client, self, workdir)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[DockerSandbox]:
        from isobench.environments.docker._client import connected

        with connected(self.host_config) as client:
            sandbox = self.sandbox(client, workdir)
            try:
                yield sandbox
            finally:
                sandbox.close()


ENVIRONMENTS: tuple[Environment, ...] = (
    Docker(
        "docker-nonet",
        "Docker, no network",
        "dockerd: its API, image layers, logs and bookkeeping",
        "containerd",
        {"network_mode": "none"},
        single_factor=False,
        groups=("containers", "ladder"),
    ),
    Docker(
        "docker-hostnet",
        "Docker, host network",
        "the host's network namespace",
        "docker-nonet",
        {"network_mode": "host"},
    ),
    Docker(
        "docker",
        "Docker",
        "a network: veth pair, bridge, addresses",
        "docker-nonet",
        {"network_mode": "bridge"},
        groups=("default", "containers", "ladder", "kinds"),
    ),
    Docker(
        "docker-unconfined",
        "Docker, no seccomp filter",
        "no seccomp filter",
        "docker",
        {"network_mode": "bridge", "security_opt": ["seccomp=unconfined"]},
    ),
    Docker(
        "docker-privileged",
        "Docker, privileged",
        "all capabilities, all devices, no seccomp filter, no masked paths",
        "docker",
        {"network_mode": "bridge", "privileged": True},
        single_factor=False,
    ),
    Docker(
        "docker-readonly",
        "Docker, read-only root",
        "a read-only root",
        "docker",
        {"network_mode": "bridge", "read_only": True},
    ),
    Docker(
        "docker-runsc",
        "Docker, gVisor",
        "gVisor's kernel in user space instead of runc",
        "docker-nonet",
        {"network_mode": "none", "runtime": "runsc"},
        groups=("containers", "kinds"),
    ),
)
