"""What exists on this host, counted without isobench's own bookkeeping: nothing here imports `isobench`.

The faults run in namespaces of their own (verification/faults/apart.py), so everything there is theirs: whole trees are
compared, without looking for names. Loop devices, which are host-wide, are identified by the place's folder.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from verification.faults import trees
from verification.faults.trees import Found

PATIENCE = 15.0
"""Seconds that things may take to disappear: the kernel frees network namespaces later, a few at a time."""


class Where(NamedTuple):
    """Where to look: the place's folder, the engines' sockets (empty: none runs), and what to ignore.

    Beside the place's folder is that of the faults' own Docker (verification/faults/engines.py).
    """

    folder: Path
    docker: str
    libvirt: str
    ignored: tuple[str, ...] = trees.ENGINES_OWN
    """Patterns of whole "KIND WHAT" texts to ignore: what other programs make, and what the engines keep for
    themselves."""


LOGS = Path("/var/log/libvirt/qemu")
"""Where libvirt keeps a log for each domain: the faults' own folder covers it (verification/faults/engines.py)."""

_ENGINES = ("dockerd", "containerd", "libvirtd")


def take(where: Where) -> Found:
    """Everything that exists now."""
    found = _processes() | _mounts() | _sockets() | _interfaces() | _loops(where.folder) | _files(where.folder)
    found |= (
        trees.take() | _docker(where.docker) | _engines_files(where.folder.parent / "docker") | _domains(where.libvirt)
    )
    ignored = re.compile("|".join(where.ignored) or "(?!)")
    return {one for one in found if not ignored.fullmatch(" ".join(one))}


def left(where: Where, before: Found, patience: float = PATIENCE) -> list[str]:
    """What exists now and did not before, after a grace period for what is ending."""
    deadline = time.monotonic() + patience
    while True:
        more = take(where) - before
        if not more or time.monotonic() > deadline:
            return sorted(f"{kind} {what}" for kind, what in more)
        time.sleep(0.1)


def _processes() -> Found:
    """Every process except this one and its helpers, and the namespaces that they are in, by inode."""
    found: Found = set()
    own = os.getpid()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pid = int(entry.name)
            stat = (entry / "stat").read_text(errors="replace")
            parent = int(stat.rpartition(")")[2].split()[1])
            if (own in (pid, parent) and not _is_marked(entry)) or stat.split("(")[1].startswith("containerd)"):
                continue  # the engines themselves are started again by the faults, and by dockerd
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            found.add(("process", f"{pid} {words[:120] or stat.split()[1]}"))
            for link in (entry / "ns").iterdir():
                found.add(("namespace", str(link.readlink())))
    return found


def _is_marked(entry: Path) -> bool:
    """Whether a child of this process is isobench itself, not a helper of the counting."""
    return b"\0bench\0" in (entry / "cmdline").read_bytes()


def _mounts() -> Found:
    """All mounts except those that dockerd creates for itself with the first network."""
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    points = [line.split()[4] for line in lines]
    return {("mount", point) for point in points if not point.endswith("/docker/run/exec/netns/default")}


def _sockets() -> Found:
    """Unix sockets with a name on which a process other than the engines listens or is connected."""
    rows = [line.split(None, 7) for line in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]]
    engines = _sockets_of_engines()
    return {("socket", row[7]) for row in rows if len(row) == 8 and row[6] not in engines}


def _sockets_of_engines() -> set[str]:
    """The inodes of the daemons' own sockets, which change with every restart."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "comm").read_text().strip() in _ENGINES:
                found |= {
                    str(link.readlink()).removeprefix("socket:[").rstrip("]") for link in (entry / "fd").iterdir()
                }
    return found


def _interfaces() -> Found:
    return {("interface", name) for _, name in socket.if_nameindex()}


def _loops(folder: Path) -> Found:
    found: Found = set()
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if str(folder) in file.read_text():
                found.add(("loop", f"{file.parts[3]} {file.read_text().strip()}"))
    return found


def _files(folder: Path) -> Found:
    """Everything under the place except results, reports, logs and finished entries of the cache; and libvirt's logs of
    domains."""
    found: Found = set()
    for top in ("state", "work", "tmp"):
        found |= {("file", str(path)) for path in (folder / top).rglob("*") if path.name != "isobench.lock"}
    found |= {("file", str(path)) for path in (folder / "cache/built").glob(".making-*")}
    found |= {("file", str(path)) for path in LOGS.glob("*")}
    return found | {("file", str(path)) for path in (folder / "results").glob("*/*/.*")}


def _engines_files(folder: Path) -> Found:
    """What Docker and its containerd keep on disk and in their state, except what they write about themselves.

    Also what is registered with that containerd, according to its own client.
    """
    found = {one for one in trees.files(folder) if not _BOOKS.search(one[1])}
    address = folder / "run/exec/containerd/containerd.sock"
    if address.exists():
        words = ["ctr", f"--address={address}", "namespaces", "list", "--quiet"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        found |= {("containerd", name) for name in done.stdout.split()}
    return found


_BOOKS = re.compile(r"/(?!)")


def _docker(address: str) -> Found:
    """What Docker lists over its API, without the SDK."""
    found: Found = set()
    if not address:
        return found
    asked = (
        ("container", "/containers/json?all=1", "Id"),
        ("image", "/images/json?all=1", "Id"),
        ("network", "/networks", "Name"),
    )
    for kind, path, key in asked:
        for one in _get(address, path) or ():
            found.add((kind, str(one[key])[:20]))
    volumes = _get(address, "/volumes")
    names = (volumes.get("Volumes") or ()) if isinstance(volumes, dict) else ()
    found |= {("volume", str(one["Name"])) for one in names}
    cache = (_get(address, "/system/df") or {}).get("BuildCache") or ()
    return found | {("build cache", str(one["ID"])) for one in cache}


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


def _get(address: str, path: str) -> Any:
    """The engine's answer. Waits for a restarting engine, and raises if it stays down."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = _Unix(address.removeprefix("unix://"))
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def _domains(uri: str) -> Found:
    """Domains, networks and pools according to virsh."""
    found: Found = set()
    for kind, words in (("domain", "list"), ("libvirt network", "net-list"), ("pool", "pool-list")) if uri else ():
        found |= {(kind, name) for name in _virsh(uri, words).split()}
    return found


def _virsh(uri: str, listing: str) -> str:
    words = ["virsh", "--connect", uri, listing, "--all", "--name"]
    deadline = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:
            return done.stdout
        if time.monotonic() > deadline:
            raise OSError(f"domains cannot be counted: {done.stderr.strip()}")
        time.sleep(0.1)
