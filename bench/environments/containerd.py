"""containerd without Docker: the daemon and its shim around the bundle that the runc rung runs by hand."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bench.accounting import descendants, peer_pid, process_name
from bench.environments._runtime import Runtime
from bench.environments.oci import cgroup_of, configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.environment import Role
    from bench.environments._runtime import RuntimeSandbox

_SYSTEM = "/run/containerd/containerd.sock"


class Containerd(Runtime):
    """`ctr run` with the OCI configuration of the runc rung; a containerd namespace of the run's own."""

    tool = "ctr"

    def prepare(self, sandbox: RuntimeSandbox) -> None:
        from bench.errors import Unavailable

        if not self.engine():
            raise Unavailable(f"no containerd answers at {address()}", remedy="start Docker or containerd")

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        import json

        file = sandbox.workdir / f"{name}.json"
        if name != "NAME":
            file.write_text(json.dumps(configuration(str(sandbox.root), sandbox.run, name, probe_args)))
        return [*_ctr(sandbox.run), "run", "--rm", f"--config={file}", name]

    def elsewhere(self, name: str) -> Mapping[int, Role]:
        """Its shim, known by the instance's name on its command line, and the program; a runc that ends is neither."""
        shim = _shim(name)
        payload = [pid for pid in descendants(shim) if process_name(pid) == "probe"]
        return {shim: "helper", **dict.fromkeys(payload, "payload")} if shim else {}

    def destroy(self, sandbox: RuntimeSandbox, name: str) -> None:
        """Its shim is no descendant of the client that the launcher has killed."""
        _remove(sandbox.run, name)

    def engine(self) -> list[int]:
        pid = peer_pid(address())
        return [pid] if pid else []

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        from bench.cgroups import remove

        sweep(sandbox.run)
        remove(cgroup_of(sandbox.run))


def address() -> str:
    """The socket of the containerd that Docker uses: beside a private engine's own, or the system's."""
    host = os.environ.get("DOCKER_HOST", "").removeprefix("unix://")
    beside = os.path.join(os.path.dirname(host), "exec/containerd/containerd.sock")  # noqa: PTH118, PTH120
    return beside if host and os.path.exists(beside) else _SYSTEM  # noqa: PTH110


def sweep(run: str) -> list[str]:
    """Remove the containers of a dead run, and its containerd namespace."""
    if not peer_pid(address()):
        return []
    removed = []
    for container in _said(run, "containers", "list", "--quiet").split():
        _remove(run, container)
        removed.append(f"container {container}")
    _said(run, "namespaces", "remove", run)
    return removed


def _remove(run: str, container: str) -> None:
    _said(run, "tasks", "delete", "--force", container)
    _said(run, "containers", "delete", container)


def _ctr(run: str) -> list[str]:
    return ["ctr", f"--address={address()}", f"--namespace={run}"]


def _said(run: str, *words: str) -> str:
    """What `ctr` prints; nothing where it does not get through."""
    import subprocess

    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run([*_ctr(run), *words], capture_output=True, text=True, timeout=60, check=False).stdout
    return ""


def _shim(name: str) -> int:
    """The shim that holds an instance; 0 where there is none."""
    wanted = b"\0-id\0" + name.encode() + b"\0"
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as file:
                if wanted in file.read():
                    return int(entry)
    return 0


ENVIRONMENTS = (
    Containerd("containerd", "containerd", "containerd, its shim and its client", "runc", ("containers", "ladder")),
)
