"""How an ordinary user's Podman runs an instance, and cleaning up after a dead run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import Unavailable
from isobench.environments._ordinary_user import RUNTIME, OrdinaryUser, end_processes
from isobench.environments._signatures import by_policy, callers_home
from isobench.environments.runtimes._podman import PodmanDriver, podman_in, resource_limits
from isobench.filesystem.paths import work_folder
from isobench.processes.programs import find, version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.mechanism import Tool
    from isobench.environments.runtimes._sandbox import RuntimeSandbox


def sweep(run: str) -> list[str]:
    """End what a dead run's user has left; the user's files go with the work folder."""
    work = work_folder(run)
    if work is None or not any(work.glob("podman-rootless*/user")):
        return []
    return [f"killed process {pid} of a rootless Podman" for pid in end_processes(run, work)]


class RootlessDriver(PodmanDriver):
    """`podman run` as an ordinary user, who may set no cgroup limits."""

    def __init__(self, network: str, helper: tuple[Tool, str] | None, options: tuple[str, ...]) -> None:
        """`helper` is a program that its instances need, and the device below /dev that this needs."""
        super().__init__()
        self._network = network
        self._helper = helper
        self._storage = options
        self._made: OrdinaryUser | None = None

    def require(self) -> None:
        if self._helper is None:
            return
        tool, device = self._helper
        if find(tool.name) is None:
            raise Unavailable(f"{tool.name} is not installed", remedy=tool.remedy)
        if not Path("/dev", device).exists():
            raise Unavailable(f"there is no /dev/{device}", remedy=f"modprobe {device.rpartition('/')[2]}")

    def environ(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        home = str(sandbox.workdir / "user")
        return {"HOME": home, "TMPDIR": home, "XDG_RUNTIME_DIR": RUNTIME}

    def facts(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        facts = {
            "user": "an ordinary user with 65536 subordinate ids, known in a mount namespace only",
            "signatures": by_policy(callers_home()),
        }
        if self._helper is not None:
            tool, device = self._helper
            facts[f"version.{tool.name}"] = version(tool.name)
            if device in self._user.opened:
                facts["device"] = f"/dev/{device} is open to root only on this host, and to all in the namespace"
        return facts

    def _make_folders(self, sandbox: RuntimeSandbox) -> None:
        self._made = OrdinaryUser(sandbox.workdir, sandbox.run)  # whose cache is in HOME

    @property
    def _user(self) -> OrdinaryUser:
        assert self._made is not None, "made first"
        return self._made

    def _options(self, sandbox: RuntimeSandbox) -> list[str]:
        return [f"--network={self._network}", *resource_limits(sandbox)]

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        if self._made is not None:
            self._remove_all(sandbox)
            end_processes(sandbox.run, sandbox.workdir)
            self._made.close()

    def _podman(self, sandbox: RuntimeSandbox) -> list[str]:
        return [*self._user.words(), *podman_in(self._user.home, RUNTIME), "--storage-driver=overlay", *self._storage]
