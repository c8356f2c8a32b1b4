"""What exists in the kernel's and the engines' trees, name by name, without knowing any of isobench's names."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

Found = set[tuple[str, str]]
"""(kind, what)."""

FOLDERS = (
    *("/run", "/dev/shm", "/dev/mqueue", "/etc/apparmor.d", "/etc/cni", "/etc/containers", "/etc/libvirt"),
    *("/var/lib/containers", "/var/lib/containerd", "/var/lib/lxc", "/var/lib/cni", "/var/lib/machines"),
    *("/var/lib/libvirt", "/var/cache/libvirt", "/var/cache/lxc", "/var/log/libvirt", "/var/log/lxc"),
    *("~/.config/containers", "~/.local/share/containers", "~/.cache/containers", "~/.docker"),
)
"""The folders where mechanisms keep something on any host; they are walked whole."""

ENGINES_OWN = (
    # empty folders that all users of a tool share, and what mount(8) remembers of options that are its own
    r"file /run/mount(/utab(\.lock)?)?",
    r"file /run/(crun|lxc|lxc/lock|containerd|containerd/(fifo|runc|s)|systemd)",
    r"file /run/systemd/nspawn(/(locks|propagate|unix-export))?",
    # dockerd: its containerd's namespace, its folders, the cgroup over all containers (verification/faults/engines.py),
    # the address of its bridge; names of network namespaces, which it takes away once a minute
    r"containerd moby",
    r"file .*/(io\.containerd\.runtime\.v2\.task|runtime-runc)/moby|file .*/exec/runtime-runc",
    r"file .*/io\.containerd\.grpc\.v1\.introspection(/uuid)?",
    r"file .*/docker/data/image/overlay2/layerdb/(mounts|sha256|tmp)",
    r"cgroup /sys/fs/cgroup(/\w+)?/isobench-faults-\w+",
    r"route .* dev docker0 .*",
    r"file .*/exec/libnetwork/[0-9a-f]{12}\.sock",  # its own, of one that was killed
    r"(file|mount) .*/exec/netns(/default|/[0-9a-f]{12})?",
    # libvirtd: the cgroup over all domains, the folder of all logs, and what it learned about QEMU
    r"cgroup /sys/fs/cgroup(/\w+)?/machine",
    r"file /var/(log/libvirt/qemu|cache/libvirt/qemu/capabilities(/[0-9a-f]+\.xml)?)",
)
"""What an engine creates once for itself and keeps while it runs (patterns of the whole line)."""

_SYSCTLS = Path("/proc/sys/net")
_VOLATILE = re.compile(r"conntrack_count|/neigh/|/flush$|random|udp_mem|tcp_mem|tcp_fastopen_key|/conf/(?!all|default)")


def take(folders: tuple[str, ...] = FOLDERS) -> Found:
    """Cgroups, files, the network and its rules, and System V shared memory of everybody on this separate host."""
    found = {("cgroup", root) for root, _, _ in os.walk("/sys/fs/cgroup")}
    for folder in folders:
        found |= files(Path(folder).expanduser())
    return found | _rules() | _sysctls() | _system_v()


def files(folder: Path) -> Found:
    """Every name below a folder, including file systems that are mounted there."""
    found: Found = set()
    for root, folders, names in os.walk(folder):
        found |= {("file", f"{root}/{name}") for name in (*folders, *names)}
    return found


_ASKED = (
    ("rule", "iptables-save"),
    ("rule", "ip6tables-save"),
    ("rule", "nft --stateless list ruleset"),
    ("rule", "ip rule show"),
    ("rule", "ip -6 rule show"),
    ("route", "ip route show table all"),
    ("route", "ip -6 route show table all"),
)


def _rules() -> Found:
    """Each line of the tools' output, prefixed by its table, without counters and comments.

    An existing table whose chains are empty and accept everything counts like a missing one.
    """
    found: Found = set()
    for kind, words in _ASKED:
        with suppress(FileNotFoundError):
            table = ""
            done = subprocess.run(words.split(), capture_output=True, text=True, timeout=60, check=False)
            for line in map(str.strip, done.stdout.splitlines()):
                table = line if line.startswith("*") else table
                told = line.partition(" [")[0] if line.startswith(":") else line
                idle = line.startswith(("#", "*", "COMMIT")) or (line.startswith(":") and " ACCEPT " in line)
                if not idle and not words.startswith("nft"):
                    found.add((kind, f"{words.partition(' ')[0]} {table} {told}"))
                elif words.startswith("nft") and line and "policy accept" not in line and line != "}":
                    found.add((kind, f"nft {line}"))
    return found


def _sysctls() -> Found:
    """Every setting of the network, with its value."""
    found: Found = set()
    for root, _, names in os.walk(_SYSCTLS):
        for name in names:
            if not _VOLATILE.search(f"{root}/{name}"):
                with suppress(OSError):
                    found.add(("sysctl", f"{root}/{name} = {Path(root, name).read_text(errors='replace').strip()}"))
    return found


def _system_v() -> Found:
    found: Found = set()
    for kind in ("shm", "sem", "msg"):
        with suppress(OSError):
            lines = Path("/proc/sysvipc", kind).read_text().splitlines()[1:]
            found |= {("ipc", f"{kind} {' '.join(line.split()[:2])}") for line in lines}
    return found
