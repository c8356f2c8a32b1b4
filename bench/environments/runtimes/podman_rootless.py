"""Podman without root: an ordinary user's engine, alone, with storage through FUSE, and with a network in user mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, Lack
from isobench.contracts.mechanism import Mechanism, Need, Tool, command
from isobench.environments.runtimes._runtime import Runtime
from isobench.environments.runtimes.podman import MECHANISM as PODMAN
from isobench.environments.runtimes.podman import TOOL

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._runtime import Driver


def _sweep(run: str) -> list[str]:
    from isobench.environments.runtimes._podman_rootless import sweep

    return sweep(run)


_FUSE, _SLIRP = Tool("fuse-overlayfs", ("fuse-overlayfs",)), Tool("slirp4netns", ("slirp4netns",))
MECHANISM = Mechanism(
    "rootless Podman",
    _sweep,
    tools=(_FUSE, _SLIRP),
    needs=(
        Need(("uidmap",), command("newuidmap"), "podman-rootless", everyday=False),
        _FUSE.need("podman-rootless-fuse", everyday=False),
        _SLIRP.need("podman-rootless-slirp", everyday=False),
    ),
)


class RootlessPodman(Runtime):
    """`podman run` by an ordinary user (`_podman_rootless.py`)."""

    capabilities = Runtime.capabilities | {Capability.LIMIT_FILES}
    tool = TOOL
    mechanisms = (PODMAN, MECHANISM)
    runs_in_work = False
    refused = r"[^\x00-\x7f]|[:,\\\s]"
    """Besides Podman's, what would end a line or a field of /etc/passwd."""

    def __init__(
        self,
        name: str,
        title: str,
        adds: str,
        compared_with: str,
        network: str = "none",
        helper: tuple[Tool, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, title, adds, compared_with, ("rootless",))
        self._given = network, helper, options
        if network != "none":
            self.capabilities = self.capabilities - {Capability.LIMIT_NETWORK}

    def why_without(self, capability: Capability) -> Lack | None:
        """Why it has no images (`TellsWhyNot`)."""
        why = "isobench's images are root's files, which the run's ordinary user cannot read"
        return Lack(why) if capability in (Capability.IMAGES, Capability.SIGNED_IMAGES) else None

    def driver(self) -> Driver:
        from isobench.environments.runtimes._podman_rootless import RootlessDriver

        return RootlessDriver(*self._given)


ENVIRONMENTS: tuple[Environment, ...] = (
    RootlessPodman(
        "podman-rootless",
        "Podman without root, no network",
        "a user namespace, set up by an ordinary user's engine; no cgroup",
        "podman",
    ),
    RootlessPodman(
        "podman-rootless-fuse",
        "Podman without root, fuse-overlayfs",
        "storage through a file system in user space (FUSE) in place of the kernel's overlay",
        "podman-rootless",
        helper=(_FUSE, "fuse"),
        options=("--storage-opt=overlay.mount_program=/usr/bin/fuse-overlayfs",),
    ),
    RootlessPodman(
        "podman-rootless-slirp",
        "Podman without root, slirp4netns",
        "a network stack in user space (slirp4netns)",
        "podman-rootless",
        network="slirp4netns",
        helper=(_SLIRP, "net/tun"),
    ),
)
