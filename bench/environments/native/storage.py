"""A raw process with its data in memory: the cost of an I/O path without a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.environments.native.rungs import Isolation, Native

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.native._sandbox import TmpfsSandbox


class NativeTmpfs(Native):
    """`process`, with its data on another file system."""

    needs_root = True
    capabilities = Native.capabilities - {Capability.COMMAND}
    """A given root file system is not on its tmpfs."""

    def sandbox(self, workdir: Path) -> TmpfsSandbox:
        from isobench.environments.native._sandbox import TmpfsSandbox

        return TmpfsSandbox(self.isolation, workdir)


ENVIRONMENTS: tuple[Environment, ...] = (
    NativeTmpfs(
        "process-tmpfs",
        "raw process, tmpfs",
        Isolation(),
        layer="process",
        adds="its data in memory instead of the host's disk",
        compared_with="process",
        groups=("storage",),
    ),
)
