"""How LXC runs an instance, and cleaning up after a dead run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.environments.runtimes._runtime import Driver
from isobench.environments.runtimes._sandbox import cgroup_files
from isobench.filesystem.mounts import remove_tree
from isobench.filesystem.paths import work_root
from isobench.processes.programs import major_version
from isobench.resources.cgroups import is_version_2, remove

if TYPE_CHECKING:
    from isobench.environments.runtimes._sandbox import RuntimeSandbox

_LOCKS = "/run/lxc/lock"
"""Where LXC keeps a lock for each of root's containers, below a folder named like the container's folder."""


def sweep(run: str) -> list[str]:
    """Remove the cgroups of a dead run's containers and the folder of their locks.

    LXC names those cgroups `lxc.monitor.NAME` and `lxc.payload.NAME`; isobench names the one to which ending monitors
    move.
    """
    removed = [*remove(f"lxc.*.{run}-*"), *remove(_pivot_of(run))]
    locks = Path(f"{_LOCKS}{work_root().resolve()}/{run}")
    if locks.is_dir():
        remove_tree(locks)
        removed.append(f"folder {locks}")
        _remove_empty_parents(locks)
    return removed


def _remove_empty_parents(folder: Path) -> None:
    """Remove the folders that LXC creates for the first container, as far as they are empty."""
    for parent in folder.parents:
        if str(parent) == _LOCKS:
            return
        try:
            parent.rmdir()
        except OSError:  # it has other containers' locks
            return


def _pivot_of(run: str) -> str:
    """The cgroup that ending monitors move to. By default all users of LXC share one, which stays for ever."""
    return f"{run}-lxc-pivot"


@cache
def _names_pivot() -> bool:
    """Whether that cgroup can be named, as since LXC 5."""
    return major_version("lxc-start") >= 5


def _configuration(sandbox: RuntimeSandbox, probe_args: tuple[str, ...]) -> str:
    """LXC's configuration (lxc.container.conf(5)): an empty network, proc and sys, the probe as init, limits."""
    settings = {
        "lxc.uts.name": "isobench",
        "lxc.rootfs.path": f"dir:{sandbox.root}",
        "lxc.net.0.type": "empty",
        "lxc.mount.auto": "proc:mixed sys:mixed",
        "lxc.autodev": "1",
        "lxc.pty.max": "0",
        "lxc.tty.max": "0",
        "lxc.console.path": "none",
        "lxc.apparmor.profile": "unconfined",
        "lxc.init.cmd": " ".join(("/probe", *probe_args)),
    }
    if _names_pivot():
        settings["lxc.cgroup.dir.monitor.pivot"] = _pivot_of(sandbox.run)
    settings |= _limits(sandbox)
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def _limits(sandbox: RuntimeSandbox) -> dict[str, str]:
    """Files of the container's cgroup, in the order in which LXC writes them, and the resource limit of its init."""
    prefix = "lxc.cgroup2" if is_version_2() else "lxc.cgroup"
    found = {f"{prefix}.{file}": value for file, value in cgroup_files(sandbox).items()}
    if sandbox.limits.open_files:
        found["lxc.prlimit.nofile"] = str(sandbox.limits.open_files)
    return found


class LxcDriver(Driver):
    """liblxc in the foreground, the probe as the container's init."""

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        file = sandbox.workdir / f"{name}.conf"
        if name != "NAME":
            (sandbox.workdir / "lxc").mkdir(exist_ok=True)
            file.write_text(_configuration(sandbox, probe_args))
        return ["lxc-start", "-F", "-n", name, "-P", f"{sandbox.workdir}/lxc", "-f", str(file)]

    def destroy(self, sandbox: RuntimeSandbox, name: str) -> None:
        """A killed lxc-start leaves the cgroups that it created for itself and for the container."""
        remove(f"lxc.*.{name}")

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        sweep(sandbox.run)
