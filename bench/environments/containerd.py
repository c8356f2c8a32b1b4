"""containerd without Docker: the daemon and its shim around the bundle that the runc rung runs by hand."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bench import deadlines
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

    def require(self) -> None:
        from bench.errors import Unavailable

        if not self.engine():
            raise Unavailable(f"no containerd answers at {address()}", remedy="start Docker or containerd")

    def prepare(self, sandbox: RuntimeSandbox) -> None:
        """Its socket is written down: where to sweep cannot be told from what is there later."""
        (sandbox.workdir / _USED).write_text(address())

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
        _remove(sandbox.run, name, address())

    def engine(self) -> list[int]:
        pid = peer_pid(address())
        return [pid] if pid else []

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        from bench.cgroups import remove
        from bench.errors import IsobenchError

        with suppress(IsobenchError):  # the run's sweep will say so
            sweep(sandbox.run)
        remove(cgroup_of(sandbox.run))


def address() -> str:
    """The socket of the containerd that Docker uses: beside a private engine's own, or the system's."""
    beside = _beside()
    return beside if beside and os.path.exists(beside) else _SYSTEM  # noqa: PTH110


def _beside() -> str:
    host = os.environ.get("DOCKER_HOST", "").removeprefix("unix://")
    return os.path.join(os.path.dirname(host), "exec/containerd/containerd.sock") if host else ""  # noqa: PTH118, PTH120


def sweep(run: str) -> list[str]:
    """Remove the containers of a dead run, and its containerd namespace.

    Raises `Unavailable` where the containerd that the run used does not answer, `MeasurementError` where something
    remains.
    """
    from bench.errors import MeasurementError, Unavailable

    used = _used(run)
    where = used or address()
    if not peer_pid(where):
        if used:
            raise Unavailable(f"no containerd answers at {used}", remedy="start it, then isobench clean")
        return []
    try:
        if run not in _said(run, where, "namespaces", "list", "--quiet").split():
            return []
    except Unavailable:
        if used:
            raise
        return []
    removed: list[str] = []
    for _ in range(_SWEEPS):
        there = _said(run, where, "containers", "list", "--quiet").split()
        if not there:
            break
        for container in there:
            _remove(run, container, where)
        removed += [f"container {container}" for container in there if f"container {container}" not in removed]
    _try(run, where, "namespaces", "remove", run)
    if run in _said(run, where, "namespaces", "list", "--quiet").split():
        left = _said(run, where, "containers", "list", "--quiet").split()
        raise MeasurementError(f"cleaning up containerd: {', '.join(left) or f'the namespace {run}'} remains")
    return removed


_SWEEPS = 3
"""A task that has just been killed may not be gone at once, and its container is then not removed."""

_USED = "containerd.sock.path"
"""In the work folder: the socket of the containerd that this run uses."""


def _used(run: str) -> str:
    """The socket of the containerd that a run used; nothing where it did not come so far.

    It says which of the two that we know it was; it cannot name another.
    """
    from bench.ownership import NotOurs, folder, read_file
    from bench.paths import work_folder

    place = work_folder(run)
    for opened in place.iterdir() if place is not None else ():
        with suppress(OSError, NotOurs), folder(opened) as inside:
            said = read_file(_USED, inside).decode(errors="replace")
            return next((known for known in (_beside(), _SYSTEM) if said == known), "")
    return ""


def _remove(run: str, container: str, where: str) -> None:
    _try(run, where, "tasks", "delete", "--force", container)
    _try(run, where, "containers", "delete", container)


def _ctr(run: str, where: str = "") -> list[str]:
    return ["ctr", f"--address={where or address()}", f"--namespace={run}"]


def _said(run: str, where: str, *words: str) -> str:
    """What `ctr` prints. Raises `Unavailable` where it does not get through."""
    import subprocess

    from bench.errors import Unavailable

    try:
        return subprocess.run(
            [*_ctr(run, where), *words], capture_output=True, text=True, timeout=deadlines.stretched(60), check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip()[-200:]
        raise Unavailable(f"containerd at {where} does not answer: {said}") from error


def _try(run: str, where: str, *words: str) -> None:
    """What may be done already; whoever asks looks afterwards."""
    from bench.errors import Unavailable

    with suppress(Unavailable):
        _said(run, where, *words)


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
