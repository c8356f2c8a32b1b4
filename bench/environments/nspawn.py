"""systemd-nspawn without a service manager: all namespaces, a private network, its own init stub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.environments._runtime import Runtime

if TYPE_CHECKING:
    from bench.environments._runtime import RuntimeSandbox


class Nspawn(Runtime):
    """systemd's container tool."""

    tool = "systemd-nspawn"

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        options = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--pipe", "--link-journal=no"]
        where = [f"--directory={sandbox.root}", f"--machine={name[-60:].lstrip('-').lower()}", "--volatile=no"]
        return ["systemd-nspawn", *options, *where, "/probe", *probe_args]


ENVIRONMENTS = (Nspawn("nspawn", "systemd-nspawn", "the systemd-nspawn tool", "ns-all"),)
