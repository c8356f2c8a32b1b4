"""systemd-nspawn without a service manager: all namespaces, a private network, its own init stub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.environments._runtime import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from bench.environments._runtime import RuntimeSandbox


class Nspawn(Runtime):
    """systemd's container tool.

    It makes cgroups with names that everybody's have (`payload`, `supervisor`) in the one that it is started in, and
    leaves them there: that one is the run's own.
    """

    tool = "systemd-nspawn"

    def prepare(self, sandbox: RuntimeSandbox) -> None:
        from bench.cgroups import make_own

        sandbox.started_in = make_own(_cgroup_of(sandbox.run))

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        sweep(sandbox.run)

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        options = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--pipe", "--link-journal=no"]
        tree = _own_tree(sandbox, name)
        where = [f"--directory={tree}", f"--machine={name[-60:].lstrip('-').lower()}", "--volatile=no"]
        return ["systemd-nspawn", *options, *where, "/probe", *probe_args]


def _own_tree(sandbox: RuntimeSandbox, name: str) -> Path:
    """Linked for each instance: a second one in the same tree is refused as busy."""
    from bench.images.rootfs import link_rootfs

    tree = sandbox.workdir / f"root-{name}"
    if name != "NAME":
        link_rootfs(tree)
    return tree


def _cgroup_of(run: str) -> str:
    """The cgroup that all instances of a run are started in."""
    return f"{run}-nspawn"


def sweep(run: str) -> list[str]:
    """Remove the cgroups of a dead run's containers."""
    from bench.cgroups import remove

    return remove(_cgroup_of(run))


ENVIRONMENTS = (Nspawn("nspawn", "systemd-nspawn", "the systemd-nspawn tool", "ns-all"),)
