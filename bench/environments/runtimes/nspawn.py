"""systemd-nspawn without a service manager: all namespaces, a private network, its own init stub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import OF_A_CGROUP, Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments.runtimes._runtime import Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._runtime import Driver


def _sweep(run: str) -> list[str]:
    from isobench.environments.runtimes._nspawn import sweep

    return sweep(run)


_TOOL = Tool("systemd-nspawn", ("systemd-container",))
MECHANISM = Mechanism(
    "systemd-nspawn",
    _sweep,
    programs=("systemd-nspawn",),
    tools=(_TOOL,),
    needs=(_TOOL.need("systemd-nspawn", everyday=False),),
)


class Nspawn(Runtime):
    """systemd's container tool (`_nspawn.py`)."""

    tool = _TOOL
    refused = "(?!)"  # it takes any path
    mechanisms = (MECHANISM,)
    capabilities = Runtime.capabilities | OF_A_CGROUP | {Capability.LIMIT_FILES}

    def driver(self) -> Driver:
        from isobench.environments.runtimes._nspawn import NspawnDriver

        return NspawnDriver()


ENVIRONMENTS: tuple[Environment, ...] = (Nspawn("nspawn", "systemd-nspawn", "the systemd-nspawn tool", "ns-all"),)
