"""An ordinary user of a run's own, with subordinate ids, for engines without root and for Docker's userns-remap.

The user exists only in a mount namespace, where files of the run are mounted over /etc/passwd, /etc/group, /etc/subuid
and /etc/subgid (newuidmap(1) wants an entry in each), so the host's users are not touched.
"""

from __future__ import annotations

import os
import stat
import zlib
from contextlib import suppress
from pathlib import Path

from isobench.core.errors import Unavailable
from isobench.environments._mount_namespace import MountNamespace
from isobench.processes.accounting import text_of
from isobench.processes.endings import kill_all
from isobench.processes.programs import find

IDS = 65_536
"""Subordinate ids of the user, as useradd(8) gives them."""
_FIRST, _USERS = 0x7000_0000, 4000
"""Ids from here on belong to nobody: they are above those that systemd gives to containers (systemd.io/UIDS-GIDS)."""
_SHARED_MEMORY = Path("/dev/shm")
RUNTIME = f"{_SHARED_MEMORY}/run"
"""The user's runtime folder. /dev/shm is a file system of the namespace's own, which ends with it: engines leave locks
there."""
DEVICES = {"fuse": (10, 229), "net/tun": (10, 200)}
"""What udev opens to everybody (50-udev-default.rules), by name below /dev: major and minor number."""
_MOUNTS = """
folder=$1 user=$2
shift 2
mount --make-rshared /
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
install -d -m 700 -o "$user" -g "$user" /dev/shm/run
for file in passwd group subuid subgid; do mount --bind "$folder/$file" "/etc/$file"; done
while [ $# -gt 0 ]; do
    mknod -m 666 "/dev/shm/$2-$3" c "$2" "$3"
    mount --bind "/dev/shm/$2-$3" "/dev/$1"
    shift 3
done
"""


def user_of(run: str) -> int:
    """The user id of a run. Two runs may have the same one: what is ended is the processes of one folder."""
    return _FIRST + zlib.crc32(run.encode()) % _USERS * (IDS + 1)


def end_processes(run: str, folder: Path) -> list[int]:
    """Kill the processes of a run's user that have their HOME in this folder, and those in their user namespaces, as
    of containers; returns them."""
    home = os.fsencode(f"HOME={folder}/")
    inside: set[str] = set()

    def is_wanted(pid: int) -> bool:
        if not is_of(run, pid):
            return False
        namespace = str(Path(f"/proc/{pid}/ns/user").readlink())
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if any((word + b"/").startswith(home) for word in words):
            inside.update({namespace} - {_OURS})
            return True
        return namespace in inside

    return kill_all(is_wanted)


_OURS = str(Path("/proc/self/ns/user").readlink()) if Path("/proc/self/ns/user").is_symlink() else ""


def is_of(run: str, pid: int) -> bool:
    """Whether a process is of a run's user or of one of its subordinate ids."""
    user = user_of(run)
    return _real_user(pid) in range(user, user + 1 + IDS)


def _real_user(pid: int) -> int:
    lines = text_of(f"/proc/{pid}/status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Uid:")), -1)


class OrdinaryUser:
    """The user of a sandbox, with a home in its work folder."""

    def __init__(self, workdir: Path, run: str) -> None:
        """Raises `Unavailable` if this host does not let an ordinary user have a user namespace."""
        if find("newuidmap") is None:
            raise Unavailable("newuidmap is not installed", remedy="apt-get install uidmap")
        check_ids(workdir)
        if _SHARED_MEMORY in workdir.resolve().parents:
            reason = f"{workdir} is in {_SHARED_MEMORY}, of which the run's ordinary user has another one"
            raise Unavailable(reason, remedy="set ISOBENCH_WORK to a folder on a disk")
        self.id = user_of(run)
        self.home = workdir / "user"
        self.opened = [name for name in DEVICES if _is_closed(name)]
        """Devices that this host does not open to everybody: they are open in the namespace."""
        self.home.mkdir(mode=0o700)
        os.chown(self.home, self.id, self.id)
        enter(workdir, run, self.home)
        devices = [str(word) for name in self.opened for word in (name, *DEVICES[name])]
        words = [str(workdir), str(self.id), *devices]
        self._namespace = MountNamespace(_MOUNTS, words, run, whose="an ordinary user of the run's own")

    def words(self) -> list[str]:
        """The words before a command that this user runs."""
        return [*self._namespace.words(), f"--setuid={self.id}", f"--setgid={self.id}"]

    def seen(self, path: str) -> Path:
        """A path of the namespace, as root reaches it from here."""
        return Path(f"{self._namespace.root}{path}")

    def close(self) -> None:
        """End the namespace."""
        self._namespace.close()


NAME = "isobench-user"


def enter(folder: Path, run: str, home: Path) -> None:
    """Write the files of /etc that name users into a folder, with the run's user and group entered."""
    user = user_of(run)
    lines = {
        "passwd": f"{NAME}:x:{user}:{user}::{home}:/bin/sh",
        "group": f"{NAME}:x:{user}:",
        "subuid": f"{NAME}:{user + 1}:{IDS}",
        "subgid": f"{NAME}:{user + 1}:{IDS}",
    }
    for name, line in lines.items():
        known = Path("/etc", name).read_bytes().rstrip()
        (folder / name).write_bytes(b"\n".join(filter(None, (known, line.encode()))) + b"\n")
        (folder / name).chmod(0o644)


def check_ids(workdir: Path, *, of_root: bool = False) -> None:
    """Raise `Unavailable` if the run's user cannot be entered, if there may be no user namespace of its ids, or if it
    cannot reach this folder. `of_root`: root makes the namespace, to whom some settings do not apply."""
    for name in ("subuid", "subgid"):
        if not Path("/etc", name).is_file():
            raise Unavailable(f"there is no /etc/{name}", remedy=f"touch /etc/{name}")
    for name, refusing in _REFUSING.items():
        if text_of(f"/proc/sys/{name}").strip() == refusing and (name == _OF_ALL or not of_root):
            raise Unavailable(
                f"{'users' if name == _OF_ALL else 'ordinary users'} may not create user namespaces",
                remedy=f"sysctl {name.replace('/', '.')}={_ALLOWING.get(name, '1')}",
            )
    for folder in (workdir, *workdir.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise Unavailable(
                f"ordinary users cannot reach {workdir}", remedy=f"chmod o+x {folder}, or set ISOBENCH_WORK"
            )


_OF_ALL = "user/max_user_namespaces"
_REFUSING = {
    _OF_ALL: "0",
    "kernel/unprivileged_userns_clone": "0",
    "kernel/apparmor_restrict_unprivileged_userns": "1",
}
"""Values of these settings under /proc/sys that forbid it: of every kernel, of Debian's, of Ubuntu's."""
_ALLOWING = {"user/max_user_namespaces": "10000", "kernel/apparmor_restrict_unprivileged_userns": "0"}


def _is_closed(device: str) -> bool:
    """Whether this host has the device and does not open it to everybody."""
    with suppress(OSError):
        return not Path("/dev", device).stat().st_mode & stat.S_IWOTH
    return False
