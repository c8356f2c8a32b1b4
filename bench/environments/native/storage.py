"""A raw process with its data in memory: the cost of an I/O path without a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.core.errors import Unavailable
from isobench.environments.native.rungs import Isolation, Native, NativeSandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from isobench.contracts.environment import Environment

_OPTIONS = "size=512m,mode=755"


class NativeTmpfs(Native):
    """`process`, with its data on another file system."""

    needs_root = True
    capabilities = Native.capabilities - {Capability.COMMAND}
    """Its memory is not within a root that is given."""

    def sandbox(self, workdir: Path) -> TmpfsSandbox:
        return TmpfsSandbox(self.isolation, workdir)


class TmpfsSandbox(NativeSandbox):
    """One tmpfs in the work folder for all instances; each instance has a folder of its own there."""

    def __init__(self, isolation: Isolation, workdir: Path) -> None:
        import subprocess

        super().__init__(isolation, workdir)
        self._tmpfs = workdir / "tmpfs"
        self._tmpfs.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", _OPTIONS, "isobench", str(self._tmpfs)]
        done = subprocess.run(command, capture_output=True, errors="replace", check=False)
        if done.returncode != 0:
            raise Unavailable(f"no tmpfs can be mounted: {done.stderr.strip()}")

    def facts(self) -> Mapping[str, str]:
        return {**super().facts(), "storage": f"a tmpfs ({_OPTIONS})"}

    def data_folder(self) -> Path:
        return self._tmpfs

    def close(self) -> None:
        from isobench.filesystem.mounts import unmount_below

        unmount_below(self._tmpfs)
        super().close()


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
