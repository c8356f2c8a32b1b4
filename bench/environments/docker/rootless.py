"""Docker without root: an engine that an ordinary user starts, by RootlessKit (dockerd-rootless.sh)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, Lack
from isobench.contracts.mechanism import Mechanism, Need, Tool, command
from isobench.environments.docker.engine import Docker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.docker._sandbox import DockerSandbox


def _sweep(run: str) -> list[str]:
    from isobench.environments.docker._rootless import sweep

    return sweep(run)


_KIT, _SLIRP = Tool("rootlesskit", ("rootlesskit",)), Tool("slirp4netns", ("slirp4netns",))
MECHANISM = Mechanism(
    "rootless Docker",
    _sweep,
    daemons=("rootlesskit", "exe", "slirp4netns", "dockerd*", "containerd*"),
    tools=(_KIT,),
    needs=(
        _KIT.need("docker-rootless", everyday=False),
        _SLIRP.need("docker-rootless", everyday=False),
        Need(("uidmap",), command("newuidmap"), "docker-rootless", everyday=False),
    ),
)


class RootlessDocker(Docker):
    """An engine of the sandbox's own (`_rootless.py`). It reaches no registry on this host's loopback, and without a
    session of systemd's it has no cgroups to set limits with."""

    capabilities = Docker.capabilities & {
        Capability.READY,
        Capability.PROBE,
        Capability.ROOTFS,
        Capability.LOWER,
        Capability.COMMAND,
        Capability.LIMIT_FILES,
    }
    mechanisms: tuple[Mechanism, ...] = (MECHANISM,)

    def why_without(self, capability: Capability) -> Lack | None:
        """Why it has no images (`TellsWhyNot`)."""
        why = "its engine is in a network of its own (RootlessKit), out of reach of the registry on the host's loopback"
        return Lack(why) if capability is Capability.IMAGES else None

    @contextmanager
    def open(self, workdir: Path) -> Iterator[DockerSandbox]:
        from isobench.environments.docker._rootless import opened

        with opened(self, workdir) as sandbox:
            yield sandbox


ENVIRONMENTS: tuple[Environment, ...] = (
    RootlessDocker(
        "docker-rootless",
        "Docker without root",
        "a user namespace; a network in user space behind the bridge; no cgroup",
        "docker",
        {"network_mode": "bridge"},
        single_factor=False,
        groups=("rootless",),
    ),
)
