"""LXC: a system container's runtime with a minimal configuration, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.environments._runtime import Runtime

if TYPE_CHECKING:
    from bench.environments._runtime import RuntimeSandbox


class Lxc(Runtime):
    """liblxc in the foreground, the probe as the container's init."""

    tool = "lxc-start"

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        file = sandbox.workdir / f"{name}.conf"
        if name != "NAME":
            (sandbox.workdir / "lxc").mkdir(exist_ok=True)
            file.write_text(_configuration(str(sandbox.root), name, probe_args))
        return ["lxc-start", "-F", "-n", name, "-P", f"{sandbox.workdir}/lxc", "-f", str(file)]

    def destroy(self, sandbox: RuntimeSandbox, name: str) -> None:
        """Killed, lxc-start leaves the cgroups behind that it made for itself and for the container."""
        from bench.cgroups import remove

        remove(f"lxc.*.{name}")

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        sweep(sandbox.run)


def sweep(run: str) -> list[str]:
    """Remove the cgroups of a dead run's containers, which LXC names `lxc.monitor.NAME` and `lxc.payload.NAME`."""
    from bench.cgroups import remove

    return remove(f"lxc.*.{run}-*")


def _configuration(root: str, name: str, probe_args: tuple[str, ...]) -> str:
    """LXC's own words (lxc.container.conf(5)): an empty network, proc and sys, the probe as init."""
    settings = {
        "lxc.uts.name": "isobench",
        "lxc.rootfs.path": f"dir:{root}",
        "lxc.net.0.type": "empty",
        "lxc.mount.auto": "proc:mixed sys:mixed",
        "lxc.autodev": "1",
        "lxc.pty.max": "0",
        "lxc.tty.max": "0",
        "lxc.console.path": "none",
        "lxc.apparmor.profile": "unconfined",
        "lxc.init.cmd": " ".join(("/probe", *probe_args)),
    }
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


ENVIRONMENTS = (Lxc("lxc", "LXC", "liblxc", "ns-all"),)
