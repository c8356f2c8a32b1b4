"""systemd-nspawn without a service manager: all namespaces, a private network, its own init stub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.environments._runtime import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from bench.environments._runtime import RuntimeSandbox


class Nspawn(Runtime):
    """systemd's container tool."""

    tool = "systemd-nspawn"

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


ENVIRONMENTS = (Nspawn("nspawn", "systemd-nspawn", "the systemd-nspawn tool", "ns-all"),)
