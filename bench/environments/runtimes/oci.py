"""OCI runtimes without an engine: runc and crun run a bundle with the same configuration as Docker's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import OF_A_CGROUP, Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments.runtimes._runtime import Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._runtime import Driver

_VERSION_2 = "/sys/fs/cgroup/cgroup.controllers"
"""Exists where version 2 has all controllers."""


def _sweep(run: str) -> list[str]:
    from isobench.environments.runtimes._bundle import sweep

    return sweep(run)


_RUNC, _CRUN = Tool("runc", ("runc",)), Tool("crun", ("crun",))
MECHANISM = Mechanism(
    "OCI runtimes",
    _sweep,
    programs=("runc", "crun", "runsc"),
    tools=(_RUNC, _CRUN),
    needs=(_RUNC.need("runc, containerd and Docker"), _CRUN.need("crun", everyday=False)),
)


class Oci(Runtime):
    """One OCI runtime, named after its tool (`_bundle.py`)."""

    mechanisms = (MECHANISM,)

    def __init__(self, tool: Tool, title: str, adds: str, compared_with: str) -> None:
        super().__init__(tool.name, title, adds, compared_with, ("containers", "ladder", "kinds"))
        self.tool = tool

    @property
    def capabilities(self) -> frozenset[Capability]:  # type: ignore[override] # what crun can do depends on the host
        """Without a cgroup only open files are limited."""
        limits = frozenset({Capability.LIMIT_FILES}) | (frozenset() if self._options() else OF_A_CGROUP)
        return Runtime.capabilities | limits

    def driver(self) -> Driver:
        from isobench.environments.runtimes._bundle import BundleDriver

        return BundleDriver(self.tool.name, self._options())

    def _options(self) -> list[str]:
        if self.tool.name == "crun" and not os.path.exists(_VERSION_2):  # noqa: PTH110 (`isobench list` asks)
            return ["--cgroup-manager=disabled"]  # otherwise it refuses the older layouts
        return []


ENVIRONMENTS: tuple[Environment, ...] = (
    Oci(
        _RUNC,
        "runc",
        "an OCI runtime, which reads its configuration and does what was done by hand",
        "handmade",
    ),
    Oci(_CRUN, "crun", "an OCI runtime written in C instead of Go", "runc"),
)
