"""A fleet of hosts on this machine: each a host name, a network, processes and folders of its own, and its own sshd.

Their disk is this machine's, but for what isobench writes: /run, /var/tmp, /var/lib/isobench and /etc/machine-id are
their own. An ordinary user can log in, too, and become root with su, without a password.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOT = """
set -e
hostname {name}
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 755 /run/sshd
cp {key}.pub /run/sshd/key
mount --bind {place}/tmp /var/tmp
for file in passwd pam.d/su; do mount --bind {place}/$(basename $file) /etc/$file; done
install -d -m 700 -o {uid} -g {uid} /run/home
for folder in lib cache; do mount --bind {place}/$folder /var/$folder/isobench; done
mount --bind {place}/machine-id /etc/machine-id
echo ready
exec {sshd} -D -e -f {place}/sshd_config
"""
_SSHD = """
HostKey {place}/host_key
AuthorizedKeysFile /run/sshd/key
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
Subsystem sftp internal-sftp
"""
ORDINARY, UID = "ordinary", 4321


class Host(NamedTuple):
    """One host while it runs."""

    name: str
    address: str
    place: Path
    """Its own files."""
    pid: int
    """A process in its namespaces, but for that of processes."""


@contextmanager
def hosts(names: list[str], folder: Path) -> Iterator[dict[str, Host]]:
    """Hosts of these names; `folder` has the key to log in with, `key`."""
    key = folder / "key"
    _said("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    for name in ("lib", "cache"):
        Path("/var", name, "isobench").mkdir(exist_ok=True)
    (folder / "cache").mkdir()
    running: list[subprocess.Popen[str]] = []
    try:
        found = {}
        for number, name in enumerate(names):
            place = folder / name
            _furnish(place, name)
            running.append(_boot(name, place))
            found[name] = Host(name, _connected(running[-1].pid, number), place, running[-1].pid)
        yield found
    finally:
        for one in running:
            one.kill()  # and with it every process of the host, and its network
            one.wait()
            assert one.stdout is not None
            one.stdout.close()


def _furnish(place: Path, name: str) -> None:
    for folder in ("lib", "tmp"):
        (place / folder).mkdir(parents=True)
    (place / "tmp").chmod(0o1777)
    (place / "cache").symlink_to(place.parent / "cache")  # what is built once is the same on all of them
    (place / "machine-id").write_text(hashlib.md5(name.encode()).hexdigest() + "\n")
    (place / "passwd").write_text(Path("/etc/passwd").read_text() + f"{ORDINARY}:x:{UID}:{UID}::/run/home:/bin/sh\n")
    (place / "su").write_text("".join(f"{what} sufficient pam_permit.so\n" for what in ("auth", "account", "session")))
    (place / "sshd_config").write_text(_SSHD.format(place=place))
    _said("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / "host_key"))


def _boot(name: str, place: Path) -> subprocess.Popen[str]:
    here, key = shlex.quote(str(place)), shlex.quote(str(place.parent / "key"))
    script = _BOOT.format(name=name, place=here, key=key, uid=UID, sshd="/usr/sbin/sshd")
    words = ["unshare", "--mount", "--uts", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with (place / "log").open("w") as log:
        booted = subprocess.Popen([*words, "sh", "-c", script], stdout=subprocess.PIPE, stderr=log, text=True)
    assert booted.stdout is not None
    assert booted.stdout.readline() == "ready\n", (place / "log").read_text()
    return booted


def _connected(pid: int, number: int) -> str:
    """Connect this host by a pair of interfaces; returns its address."""
    ours, net = f"fl{pid}", f"10.213.{number}"
    _said("ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _said("ip", "address", "add", f"{net}.1/24", "dev", ours)
    _said("ip", "link", "set", ours, "up")
    inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
    _said(*inside, "address", "add", f"{net}.2/24", "dev", "eth0")
    _said(*inside, "link", "set", "eth0", "up")
    return f"{net}.2"


def fill(host: Host, folder: str) -> None:
    """Make this folder of a host a small file system without room."""
    _in(host, f"mkdir -p {folder} && mount -t tmpfs -o size=64k tmpfs {folder} && ! cat /dev/zero > {folder}/full")


NOBODY = "10.213.0.77"
"""An address in the first host's network at which nobody answers."""


def burden(host: Host) -> None:
    """Give a host thousands of mounts, which every new mount namespace copies: its raw processes cost what they do on
    other hosts, and its namespaces many times as much."""
    dirs = " ".join(str(number) for number in range(100, 114))  # each doubles them
    script = f"cd /run && mkdir many && mount -t tmpfs tmpfs many && cd many && mkdir {dirs}"
    _in(host, f"{script} && for one in {dirs}; do mount --rbind . $one || exit; done")


def _in(host: Host, script: str) -> None:
    _said("nsenter", f"--mount=/proc/{host.pid}/ns/mnt", "sh", "-c", script)


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=600).stdout


_OPTIONS = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ServerAliveInterval=10"


def said_by(host: Host, command: str) -> str:
    """What a shell command prints that root runs on this host, by ssh."""
    key = ("-i", str(host.place.parent / "key"))
    return _said("ssh", *shlex.split(_OPTIONS), "-o", "LogLevel=ERROR", *key, f"root@{host.address}", command)


def connection(host: Host) -> dict[str, object]:
    """What an inventory says of this host so that Ansible reaches it."""
    return {
        "ansible_host": host.address,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(host.place.parent / "key"),
        "ansible_ssh_common_args": _OPTIONS,
        "ansible_timeout": 60,  # a busy machine may hold a connection back for longer than the usual ten seconds
        "ansible_python_interpreter": os.path.realpath("/usr/bin/python3"),
    }
