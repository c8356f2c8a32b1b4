"""dockerd and containerd: which processes they are, what of them can be observed, and where containerd listens."""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from isobench.contracts.capabilities import Part
from isobench.core.errors import IsobenchError
from isobench.daemons.address import address as engine_address
from isobench.daemons.private import daemon_state
from isobench.processes.accounting import cgroups_of, children, command_line, parent, process_name, users_of
from isobench.processes.serving import (
    Server,
    connected_to,
    listens_at,
    proc_is_ours,
    remembered,
    server_of,
    server_of_port,
)

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_DOCKERD = frozenset({"dockerd"})
CONTAINERD = frozenset({"containerd", "docker-containe"})
"""The daemons' names in /proc/PID/comm, which has at most fifteen characters."""


def engine() -> list[Server]:
    """dockerd and its containerd, each verified, or the reason why it is unknown."""
    try:
        where = engine_address()
    except IsobenchError as error:
        return [Server(0, error.reason)]
    if where.path:
        dockerd = server_of(where.path, _DOCKERD)
    else:
        parts = urlsplit(where.url)
        dockerd = server_of_port(parts.hostname or "", _port(parts), _DOCKERD)
    if not dockerd.pid:
        return [dockerd]
    return [dockerd, remembered(f"containerd of {dockerd.pid}", CONTAINERD, lambda: _containerd(dockerd.pid))]


def _port(parts: SplitResult) -> int:
    with suppress(ValueError):
        return parts.port or 2375
    return 0


def _containerd(dockerd: int) -> Server:
    """A containerd that dockerd started is its child. Otherwise it is the one that dockerd is connected to, or the one
    named on its command line."""
    own = [pid for pid in children(dockerd) if process_name(pid) in CONTAINERD]
    found = own or connected_to(dockerd, CONTAINERD)
    if found:
        return Server(found[0])
    option = re.search(rb"--containerd[=\0]([^\0]+)", command_line(dockerd))
    if option:
        return server_of(os.fsdecode(option[1]), CONTAINERD)
    return Server(0, "it cannot be determined which containerd dockerd uses")


def engine_pids() -> list[int]:
    """The processes of dockerd and of its containerd, as far as they are known."""
    return [server.pid for server in engine() if server.pid]


def unseen() -> dict[Part, str]:
    """Why some daemons, or their memory, cannot be observed from here."""
    lacking = [server.why_not for server in engine() if not server.pid]
    found = {Part.DAEMONS: "; ".join(lacking)} if lacking else {}
    if os.geteuid() != 0:
        found[Part.MEMORY] = "only root can read the memory of another user's processes"
    return found


def is_of(pid: int, container: str) -> bool:
    """Whether this process is the container's: its shim's command line or its own cgroup contains the container's id.
    An engine in another PID namespace reports the pids of its own namespace."""
    if not proc_is_ours():
        return False
    shim = parent(pid)
    return container in cgroups_of(pid) or (any(users_of(shim)) and container.encode() in command_line(shim))


_SYSTEMS = ("/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock")
"""The sockets of the system's containerd: a separate one, and one that dockerd starts for itself."""


def containerd_address() -> str:
    """The socket of the containerd that Docker uses: a private engine's own, or the system's.

    It depends on DOCKER_HOST and existing sockets only, so a sweep finds the same one as its run.
    """
    for server in engine()[1:]:
        used = listens_at(server.pid, "/containerd.sock") if server.pid else ""
        if used and os.path.exists(used):  # noqa: PTH110
            return used
    host = os.environ.get("DOCKER_HOST", "").removeprefix("unix://")
    beside = os.path.join(os.path.dirname(host), "exec/containerd")  # noqa: PTH118, PTH120
    if host and (host.startswith(f"{daemon_state()}/") or os.path.isdir(beside)):  # noqa: PTH112
        return f"{beside}/containerd.sock"
    return next((path for path in _SYSTEMS if os.path.exists(path)), _SYSTEMS[0])  # noqa: PTH110


def dockerd_file() -> tuple[Path | None, str]:
    """The settings file of dockerd (daemon.json), which may not exist; or None, and why it is not known."""
    server = engine()[0]
    if not server.pid:
        return None, server.why_not
    option = re.search(rb"\0--config-file[=\0]([^\0]+)", command_line(server.pid))
    return Path(os.fsdecode(option[1]) if option else "/etc/docker/daemon.json"), ""


_ADMINISTRATORS = Path("/etc/containerd/config.toml")


def containerd_file(where: str) -> Path:
    """The settings file of the containerd at this socket, which may not exist: the one that Docker writes next to the
    socket, or the administrator's."""
    beside = Path(where).parent / "containerd.toml"
    return beside if beside.exists() else _ADMINISTRATORS


def containerd_settings(where: str = "") -> dict[str, str]:
    """The folders of the containerd at this socket (by default Docker's), and its address as it is configured.

    They are in the file that Docker writes next to the socket or in the administrator's, or else the usual ones.
    """
    where = where or containerd_address()
    found = {"root": "/var/lib/containerd", "state": "/run/containerd", "address": where}
    for file in (Path(where).parent / "containerd.toml", _ADMINISTRATORS):
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = tomllib.loads(file.read_text())
            known = {name: said.get(name) for name in ("root", "state")} | {"address": said["grpc"]["address"]}
            return found | {name: str(value) for name, value in known.items() if value}
    return found
