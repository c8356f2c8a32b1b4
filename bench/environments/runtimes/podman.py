"""Podman: an engine without a daemon, with runc and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import OF_A_CGROUP, Capability
from isobench.contracts.mechanism import Keeper, Mechanism, Tool
from isobench.environments._mechanism import REGISTRY, SIGNING
from isobench.environments.runtimes._runtime import Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._runtime import Driver


def _sweep(run: str) -> list[str]:
    from isobench.environments.runtimes._podman import sweep

    return sweep(run)


TOOL = Tool("podman", ("podman",))
MECHANISM = Mechanism(
    "Podman",
    _sweep,
    programs=("podman", "conmon", "fuse-overlayfs", "runc"),
    tools=(TOOL,),
    keepers=(Keeper("conmon", "container"),),
    cgroups=("libpod_parent", "machine.slice"),
    needs=(TOOL.need("podman", everyday=False),),
)


class Podman(Runtime):
    """`podman run` (`_podman.py`)."""

    capabilities = (
        Runtime.capabilities | OF_A_CGROUP | {Capability.IMAGES, Capability.SIGNED_IMAGES, Capability.LIMIT_FILES}
    )
    tool = TOOL
    mechanisms = (MECHANISM, REGISTRY, SIGNING)
    runs_in_work = False
    refused = r"[^\x00-\x7f]|[:,\\]"
    """Its storage joins paths by colons and options by commas, and its conmon runs without a locale."""

    def driver(self) -> Driver:
        from isobench.environments.runtimes._podman import PodmanDriver

        return PodmanDriver()


ENVIRONMENTS: tuple[Environment, ...] = (
    Podman(
        "podman",
        "Podman, no network",
        "an engine without a daemon, conmon as the monitor",
        "runc",
        ("containers", "kinds"),
    ),
)
