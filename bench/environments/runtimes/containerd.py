"""containerd without Docker: the daemon and its shim around the bundle that the runc rung runs directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import OF_A_CGROUP, Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments._mechanism import REGISTRY
from isobench.environments.runtimes._runtime import Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._runtime import Driver


def _sweep(run: str) -> list[str]:
    from isobench.environments.runtimes._ctr import sweep

    return sweep(run)


_TOOL = Tool("ctr", ("containerd",))
MECHANISM = Mechanism(
    "containerd",
    _sweep,
    programs=("ctr", "containerd-shim*", "runc"),
    daemons=("containerd*",),
    tools=(Tool("containerd", ("containerd",)),),
)


class Containerd(Runtime):
    """`ctr run` (`_ctr.py`)."""

    tool = _TOOL
    mechanisms = (MECHANISM, REGISTRY)
    capabilities = Runtime.capabilities | OF_A_CGROUP | {Capability.IMAGES, Capability.LIMIT_FILES}

    def driver(self) -> Driver:
        from isobench.environments.runtimes._ctr import CtrDriver

        return CtrDriver()


ENVIRONMENTS: tuple[Environment, ...] = (
    Containerd("containerd", "containerd", "containerd, its shim and its client", "runc", ("containers", "ladder")),
)
