"""A Docker engine of an ordinary user: started for a sandbox, asked over its socket, and stopped again."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.daemons.address import Address
from isobench.daemons.docker import REFUSED
from isobench.environments._ordinary_user import RUNTIME, OrdinaryUser, end_processes, is_of, user_of
from isobench.environments._signatures import by_content_trust, callers_home
from isobench.environments.docker._client import connect, require
from isobench.environments.docker._own import OwnInstance, OwnSandbox
from isobench.filesystem.paths import check_name, work_folder
from isobench.probe.launcher import ENVIRON
from isobench.processes.accounting import command_line, descendants, parent, process_name, text_of
from isobench.processes.programs import find, telling_line
from isobench.resources import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from isobench.environments.docker._container import DockerInstance
    from isobench.environments.docker.engine import Docker

_SCRIPT = ("dockerd-rootless.sh", "/usr/share/docker.io/contrib/dockerd-rootless.sh")
"""Docker's own, as its packages and as Debian's install it."""
_REFUSED = rf"{REFUSED}|\s"
"""The script divides its options at spaces."""


def sweep(run: str) -> list[str]:
    """End what a dead run's engine has left; its files go with the work folder."""
    work = work_folder(run)
    if work is None or not any(work.glob("docker-rootless/user")):
        return []
    ended = [f"killed process {pid} of a rootless Docker" for pid in end_processes(run, work)]
    return ended + [f"removed cgroup {folder}" for folder in _without_slice(work / "docker-rootless")]


@contextmanager
def opened(environment: Docker, workdir: Path) -> Iterator[RootlessSandbox]:
    """The sandbox of a rootless engine. Raises `Unavailable` if it cannot be had here."""
    script = _script()
    check_name(workdir, "a rootless dockerd", _REFUSED, "ISOBENCH_WORK")
    user = OrdinaryUser(workdir, workdir.parent.name)
    try:
        _with_slice(workdir)
        with (workdir / "engine.log").open("wb") as log:
            engine = _started(script, user, log.fileno())
        try:
            with closing(_answering(engine, user, workdir / "engine.log")) as client:
                require(client, environment.host_config)
                sandbox = RootlessSandbox(client, environment, workdir, engine.pid)
                try:
                    yield sandbox
                finally:
                    sandbox.close()
        finally:
            _stop(engine)
    finally:
        end_processes(workdir.parent.name, workdir)
        _without_slice(workdir)
        user.close()


_SLICES = "slices"
"""File of the sandbox's folder that names the cgroups that were made for its user."""


def _with_slice(workdir: Path) -> None:
    """With cgroup version 2, dockerd asks the user's slice which controllers it has (moby: daemon/oci_linux.go), which
    systemd makes when a user logs in. This user never does, so his is made here. Nothing is put into it."""
    if not cgroups.is_version_2():
        return
    own = cgroups.ROOT / f"user.slice/user-{user_of(workdir.parent.name)}.slice"
    missing = [folder for folder in (own.parent, own) if not folder.exists()]
    (workdir / _SLICES).write_text("\n".join(map(str, missing)))
    try:
        for folder in missing:
            folder.mkdir()
    except OSError as error:
        raise Unavailable(f"a user's slice cannot be made: {error}") from error


def _without_slice(workdir: Path) -> list[str]:
    """Remove what was made, and return it."""
    removed = []
    for folder in reversed(text_of(workdir / _SLICES).split()):
        with suppress(OSError):  # never made, or not empty any more
            Path(folder).rmdir()
            removed.append(folder)
    return removed


def _script() -> str:
    if os.geteuid() != 0:
        raise Unavailable("needs root", remedy="run isobench as root")
    for name, package in (("rootlesskit", "rootlesskit"), ("slirp4netns", "slirp4netns"), ("dockerd", "docker.io")):
        if find(name) is None:
            raise Unavailable(f"{name} is not installed", remedy=f"apt-get install {package}")
    if not Path("/dev/net/tun").exists():
        raise Unavailable("there is no /dev/net/tun", remedy="modprobe tun")
    found = find(_SCRIPT[0]) or (_SCRIPT[1] if Path(_SCRIPT[1]).is_file() else "")
    if not found:
        remedy = "apt-get install docker-ce-rootless-extras, or docker.io of Debian"
        raise Unavailable(f"there is no {_SCRIPT[0]}", remedy=remedy)
    return found


_SOCKET = f"{RUNTIME}/docker.sock"
"""Short, as the paths of sockets have to be, which that of a work folder may not be."""


def _started(script: str, user: OrdinaryUser, log: int) -> subprocess.Popen[bytes]:
    places = (f"--data-root={user.home}/data", f"--exec-root={RUNTIME}/docker", f"--pidfile={user.home}/docker.pid")
    without_systemd = "--exec-opt=native.cgroupdriver=cgroupfs"  # the default with version 2 wants the user's session
    return subprocess.Popen(
        [*user.words(), "sh", script, *places, without_systemd, f"--host=unix://{_SOCKET}"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**ENVIRON, "HOME": str(user.home), "TMPDIR": str(user.home), "XDG_RUNTIME_DIR": RUNTIME},
        start_new_session=True,
    )


def _answering(engine: subprocess.Popen[bytes], user: OrdinaryUser, log: Path) -> Any:
    """A client, as soon as the engine answers."""
    deadline, socket = time.monotonic() + deadlines.stretched(60), user.seen(_SOCKET)
    while engine.poll() is None and time.monotonic() < deadline:
        if socket.is_socket():
            with suppress(Unavailable):
                return connect(Address(f"unix://{socket}", "the run's rootless engine"))
        time.sleep(0.1)
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = telling_line(lines) or "it said nothing"
    raise Unavailable(
        f"a rootless dockerd did not start: {told[-300:]}", remedy="see dockerd-rootless-setuptool.sh check"
    )


def _stop(engine: subprocess.Popen[bytes]) -> None:
    """Let dockerd end in order, as its service would. RootlessKit may outlive it."""
    engine.terminate()  # it passes that on
    deadline = time.monotonic() + deadlines.stretched(20)
    while _dockerd(engine.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    engine.kill()
    engine.wait()


def _dockerd(engine: int) -> list[int]:
    return [pid for pid in descendants(engine) if process_name(pid) == "dockerd"]


class RootlessSandbox(OwnSandbox):
    """Images and containers of a rootless engine."""

    engine_names = ("rootlesskit", "exe", "slirp4netns", "dockerd", "containerd")
    """RootlessKit calls itself as /proc/self/exe."""

    def signatures(self) -> str:
        """By the settings of the user who called sudo, or else of the run's own, who has none."""
        home = callers_home() or self._workdir / "user"
        return by_content_trust(home / ".config/docker/daemon.json")

    def instance(self, name: str, timeout: float, *, watch_end: bool) -> DockerInstance:
        return RootlessInstance(self, self._client, name, timeout, watch_end=watch_end)


class RootlessInstance(OwnInstance):
    """A container of a rootless engine, which has no cgroup to be known by."""

    def owns(self, pid: int) -> bool:
        run, shim = self._sandbox.run, parent(pid)
        return is_of(run, pid) and is_of(run, shim) and self._id.encode() in command_line(shim)
