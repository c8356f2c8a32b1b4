"""LXC: a system container's runtime with a minimal configuration, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import OF_A_CGROUP, Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.core.text import NOT_UTF8
from isobench.environments.runtimes._runtime import Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._runtime import Driver


def _sweep(run: str) -> list[str]:
    from isobench.environments.runtimes._lxc import sweep

    return sweep(run)


_TOOL = Tool("lxc-start", ("lxc",))
MECHANISM = Mechanism(
    "LXC",
    _sweep,
    programs=("lxc-*",),
    tools=(_TOOL,),
    needs=(_TOOL.need("LXC", everyday=False),),
)


class Lxc(Runtime):
    """`lxc-start` (`_lxc.py`)."""

    tool = _TOOL
    mechanisms = (MECHANISM,)
    refused = rf"{NOT_UTF8}|\n"
    capabilities = (Runtime.capabilities - {Capability.COMMAND}) | OF_A_CGROUP | {Capability.LIMIT_FILES}
    """Its configuration splits the words of a command at blanks."""

    def driver(self) -> Driver:
        from isobench.environments.runtimes._lxc import LxcDriver

        return LxcDriver()


ENVIRONMENTS: tuple[Environment, ...] = (Lxc("lxc", "LXC", "liblxc", "ns-all"),)
