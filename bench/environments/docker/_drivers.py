"""A Docker engine with a driver, an image store or userns-remap of its own: started for a sandbox, and stopped again.

dockerd has the host's files. It has a network namespace of its own, with nothing but a loopback: one without a bridge
removes the bridge "docker0" of its namespace when it starts, which on a host is another engine's. It has a mount
namespace of its own, with another /run: its sockets have short paths there, it does not find the system's containerd,
whose shims would not see its mounts, and it makes its cgroups itself, as without systemd. The user of userns-remap is
in files of the run that are mounted over /etc/passwd and the like. All of these mounts end with the namespace's last
process.
"""

from __future__ import annotations

import json
import os
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from isobench import daemons
from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.daemons import registry, session
from isobench.daemons.address import Address
from isobench.daemons.docker import REFUSED, answers
from isobench.environments._offers import allocated
from isobench.environments._ordinary_user import NAME, check_ids, enter
from isobench.environments._signatures import by_content_trust
from isobench.environments.docker import _buildkit as buildkit
from isobench.environments.docker._client import connect, engine_errors, require
from isobench.environments.docker._images import DockerImages, in_containerd
from isobench.environments.docker._own import OwnInstance, OwnSandbox
from isobench.filesystem.paths import check_name, work_folder
from isobench.processes.accounting import pids_with, process_name, text_of
from isobench.processes.programs import find, major_version, output, telling_line
from isobench.resources.cgroups import remove as remove_cgroups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from isobench.environments.docker._container import DockerInstance
    from isobench.environments.docker.drivers import DriverDocker

_ENGINE = "engine"
"""The folder of an engine below that of its sandbox."""
_SOCKET = "/run/docker.sock"
"""In the engine's own mount namespace."""
_MOUNTS = """
set -e
folder=$1
shift
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
"""
_USERS = """
for file in passwd group subuid subgid; do mount --bind "$folder/$file" "/etc/$file"; done
"""
_LOOP = """
truncate -s 8G "$folder/btrfs"
mkfs.btrfs --quiet "$folder/btrfs"
mount -t btrfs -o loop "$folder/btrfs" "$folder/engine/data"
losetup --direct-io=on "$(findmnt --noheadings --output SOURCE "$folder/engine/data")" || true
"""
"""The kernel detaches the device with its last mount. Direct I/O of the container is to be none of the host's cache."""


def sweep(run: str) -> list[str]:
    """End what the engines of a dead run have left. Their files go with the work folder, their mounts with the last
    process."""
    work = work_folder(run)
    removed: list[str] = []
    for state in work.glob(f"docker-*/{_ENGINE}") if work is not None else ():
        removed += [*session.end_orphans(state), *remove_cgroups(_cgroup_of(state.parent))]
    return removed


@contextmanager
def opened(environment: DriverDocker, workdir: Path) -> Iterator[DriverSandbox]:
    """The sandbox of an engine with this driver. Raises `Unavailable` if it cannot be had here."""
    _check(environment, workdir)
    daemon = _started(environment, workdir)
    try:
        with closing(connect(Address(daemon.address, "the run's own engine"))) as client:
            require(client, environment.host_config)
            sandbox = DriverSandbox(client, environment, workdir, _dockerd(workdir / _ENGINE))
            try:
                yield sandbox
            finally:
                sandbox.close()
    finally:
        daemon.stop()


def _check(environment: DriverDocker, workdir: Path) -> None:
    if os.geteuid() != 0:
        raise Unavailable("needs root", remedy="run isobench as root")
    if find("dockerd") is None:
        raise Unavailable("dockerd is not installed", remedy="apt-get install docker.io")
    check_name(workdir, "dockerd", REFUSED, "ISOBENCH_WORK")
    if Path("/run") in workdir.resolve().parents:
        reason = f"{workdir} is in /run, of which the engine has another one"
        raise Unavailable(reason, remedy="set ISOBENCH_WORK to a folder on a disk")
    tool, device = environment.tool, _DEVICES.get(environment.driver, "")
    if tool is not None and find(tool.name) is None:
        raise Unavailable(f"{tool.name} is not installed", remedy=tool.remedy)
    if not Path("/dev", device).exists():
        raise Unavailable(f"there is no /dev/{device}", remedy=f"modprobe {device.partition('-')[0]}")
    if environment.driver == "btrfs" and "btrfs" not in text_of("/proc/filesystems").split():
        raise Unavailable("the kernel has no btrfs", remedy="modprobe btrfs")
    if environment.in_containerd and 0 < (found := engine_version()) < _WITH_IMAGE_STORE:
        reason = f"Docker {found} cannot use containerd's image store"
        raise Unavailable(reason, remedy=f"Docker {_WITH_IMAGE_STORE}.0 or newer")
    if environment.is_remapped:
        check_ids(workdir, of_root=True)


def engine_version() -> int:
    """The major version of the dockerd that would be started; 0 if it does not say."""
    return major_version(find("dockerd") or "dockerd", buildkit.SAYS)


_WITH_IMAGE_STORE = 24
"""Since this version, the engine can use containerd's image store (Docker Engine 24.0 release notes)."""


_DEVICES = {"fuse-overlayfs": "fuse", "btrfs": "loop-control"}
"""What a driver needs below /dev."""


def _started(environment: DriverDocker, workdir: Path) -> daemons.Daemon:
    """The engine, when it answers."""
    state = workdir / _ENGINE
    for folder in (state, state / "run", state / "data"):
        folder.mkdir()
        folder.chmod(0o711)  # root in a user namespace has to reach its files
    if environment.is_remapped:
        enter(workdir, workdir.parent.name, workdir)
    configuration = state / "daemon.json"
    configuration.write_text(json.dumps(_configuration(environment, state)))

    def clean_up() -> None:
        remove_cgroups(_cgroup_of(workdir))

    more = (_USERS if environment.is_remapped else "") + (_LOOP if environment.driver == "btrfs" else "")
    prepared = ["unshare", "--mount", "--net", "sh", "-c", f'{_MOUNTS}{more}exec "$@"', "sh", str(workdir)]
    try:
        daemon = daemons.start(
            "dockerd",
            [*prepared, "dockerd", f"--config-file={configuration}"],
            state=state,
            address="",
            answers=lambda: answers(Path(_seen(state))),
            after=clean_up,
        )
    except Unavailable as error:
        raise Unavailable(f"a dockerd with {environment.driver} did not start: {_said(state)}") from error
    daemon.address = f"unix://{_seen(state)}"
    return daemon


def _configuration(environment: DriverDocker, state: Path) -> dict[str, Any]:
    """Everything is set here, so that the host's /etc/docker/daemon.json is not read."""
    more: dict[str, Any] = {"userns-remap": NAME} if environment.is_remapped else {}
    if environment.in_containerd:
        more["features"] = {"containerd-snapshotter": True}
    return {
        "data-root": str(state / "data"),
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        "hosts": [f"unix://{_SOCKET}"],
        "group": "root",
        "log-level": "warn",
        "storage-driver": environment.driver,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/{_cgroup_of(state.parent)}",
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        **more,
    }


def _cgroup_of(workdir: Path) -> str:
    """The parent cgroup of all containers of a sandbox."""
    return f"{workdir.parent.name}-{workdir.name}"


def _dockerd(state: Path) -> int:
    """The process of this state's dockerd; 0 if there is none."""
    return next((pid for pid in session.orphans(state) if process_name(pid) == "dockerd"), 0)


def _seen(state: Path) -> str:
    """The path of its socket as root reaches it from here."""
    return f"/proc/{_dockerd(state)}/root{_SOCKET}"


def _said(state: Path) -> str:
    """Why it did not start, in its own words."""
    lines = [line.strip() for line in text_of(state / "dockerd.log").splitlines() if line.strip()]
    return telling_line(lines)[-300:] or "it said nothing"


class DriverSandbox(OwnSandbox):
    """Images and containers of an engine with a storage driver of its own."""

    _environment: DriverDocker

    def facts(self) -> Mapping[str, str]:
        return {**super().facts(), "storage": f"{_STORED[self._environment.driver]}{self._cached()}"}

    def signatures(self) -> str:
        """By the settings of this engine, which reads none of the host's."""
        return by_content_trust(self._workdir / _ENGINE / "daemon.json").replace(str(self._workdir), "WORK")

    def _cached(self) -> str:
        """What to add for a loop device that is not read and written directly."""
        place = str(self._workdir / _ENGINE / "data").replace(" ", r"\040")  # as proc(5) has it
        mounts = [line.split() for line in text_of(f"/proc/{self._pid}/mounts").splitlines()]
        devices = [Path(mount[0]).name for mount in mounts if mount[1] == place]
        through = any(text_of(f"/sys/block/{device}/loop/dio") == "0" for device in devices)
        return ", through the host's page cache" if through else ""

    def instance(self, name: str, timeout: float, *, watch_end: bool) -> DockerInstance:
        kind = FuseInstance if self._environment.driver == "fuse-overlayfs" else OwnInstance
        return kind(self, self._client, name, timeout, watch_end=watch_end)

    def images(self) -> DockerImages:
        if self._images is None:
            address = f"unix:///proc/{self._pid}/root{_SOCKET}"
            self._images = DriverImages(
                self._client,
                address,
                self._workdir,
                self._pid,
                self._used_bytes,
                in_containerd=in_containerd(self._info),
            )
        return self._images

    def _used_bytes(self) -> int:
        """What the engine's data take on the disk. Those of its containerd are among them."""
        data = self._workdir / _ENGINE / "data"
        if self._environment.driver != "btrfs":
            return allocated([str(data)]) or 0
        inside = ["nsenter", f"--mount=/proc/{self._pid}/ns/mnt"]
        for what in ("filesystem", "subvolume", "filesystem"):  # what is removed is freed later, with a transaction
            output([*inside, "btrfs", what, "sync", str(data)], deadlines.stretched(60))
        found = os.statvfs(f"/proc/{self._pid}/root{data}")
        return (found.f_blocks - found.f_bfree) * found.f_frsize


_STORED = {
    "overlay2": "overlay2 in the run's folder",
    "overlayfs": "overlay of containerd's image store (overlayfs) in the run's folder",
    "vfs": "vfs in the run's folder",
    "fuse-overlayfs": "overlay in user space (fuse-overlayfs) in the run's folder",
    "btrfs": "btrfs in a file in the run's folder (a loop device)",
}
"""The fact "storage" by driver. An engine's own words would name the run."""


class FuseInstance(OwnInstance):
    """A container whose root a process of fuse-overlayfs serves, for it alone."""

    def helpers(self) -> list[int]:
        with engine_errors("inspecting the container"):
            found = self._client.inspect_container(self._id)["GraphDriver"]["Data"]["MergedDir"]
        return [*super().helpers(), *pids_with("fuse-overlayfs", f"\0{found}\0")]


class DriverImages(DockerImages):
    """Images of an engine that has nothing else: what they take is by how much the engine's data have grown, whatever
    the driver shares or copies."""

    def __init__(
        self,
        client: Any,
        address: str,
        workdir: Path,
        engine: int,
        used: Callable[[], int],
        *,
        in_containerd: bool = False,
    ) -> None:
        """`engine` is its process, `used` are the bytes that its data take. With containerd's image store, BuildKit
        takes an archive from the plugin only (moby/moby, issue 47717)."""
        super().__init__(client, workdir, tells_fetched=not in_containerd)
        self._docker = partial(buildkit.docker_command, plugin=in_containerd)
        self._network = f"/proc/{engine}/ns/net"
        self._inside: registry.Registry | None = None
        self._address = address
        self._used = used
        self._without = 0

    def close(self) -> None:
        if self._inside is not None:
            self._inside.stop()
        super().close()

    def _running(self) -> registry.Registry:
        """The registry, with a second process that serves the same files in the engine's network namespace; another one
        if that was killed."""
        kept = super()._running()
        if self._inside is None or self._inside.address != kept.address or not session.orphans(self._inside.state):
            if self._inside is not None:
                self._inside.stop()
            self._inside = registry.start_in(self._network, kept, self._place / "registry-inside")
        return kept

    def _answers_here(self, image: str) -> bool:
        """The engine asks the second process, which may have been killed: that is a failure."""
        return False

    def clear(self, name: str) -> None:
        """Then BuildKit also has containerd free what nothing refers to any more, as after a failed pull, and waits."""
        super().clear(name)
        with engine_errors("removing BuildKit's cache"):
            self._client.prune_builds(all=True)
        self._without = self._used()

    def lacks_buildkit(self) -> str:
        return "" if self._docker() else buildkit.LACKING

    def build_with_buildkit(self, context: Path, image: str, *, cached: bool) -> None:
        buildkit.build(self._docker(), self._address, self._place, context, image, cached=cached)

    def disk_bytes(self, image: str) -> int | None:
        return self._used() - self._without
