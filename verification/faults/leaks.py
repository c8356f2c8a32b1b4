"""What exists on this host, counted without isobench's own bookkeeping: nothing here imports `isobench`.

The faults run apart (verification/faults/apart.py), so that whatever is seen there is theirs: whole trees are compared,
and no name is looked for. What the kernel keeps host-wide all the same (loop devices) is told by the place's folder.
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
    """Where to look: the place's folder, the engines' sockets (empty: none runs), and what is nobody's business.

    Beside the place's folder is that of the faults' own Docker (verification/faults/engines.py).
    """

    folder: Path
    docker: str
    libvirt: str
    ignored: tuple[str, ...] = trees.ENGINES_OWN
    """Patterns of a whole "KIND WHAT": where others are at work, what they make; apart, what the engines keep."""


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
    """Every process but this one and its helpers' kin, and the namespaces they are in, by inode."""
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
    """A child of this process that is isobench itself, not a helper of the counting."""
    return b"\0bench\0" in (entry / "cmdline").read_bytes()


def _mounts() -> Found:
    """Except those that dockerd creates for itself with the first network."""
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    points = [line.split()[4] for line in lines]
    return {("mount", point) for point in points if not point.endswith("/docker/run/exec/netns/default")}


def _sockets() -> Found:
    """Unix sockets with a name that somebody but the engines listens on or is connected to."""
    rows = [line.split(None, 7) for line in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]]
    engines = _sockets_of_engines()
    return {("socket", row[7]) for row in rows if len(row) == 8 and row[6] not in engines}


def _sockets_of_engines() -> set[str]:
    """The inodes of the daemons' own sockets: each has others after it was started again."""
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
    """Everything under the place but results, reports, logs and the cache's finished parts; libvirt's of domains."""
    found: Found = set()
    for top in ("state", "work", "tmp"):
        found |= {("file", str(path)) for path in (folder / top).rglob("*") if path.name != "isobench.lock"}
    found |= {("file", str(path)) for path in (folder / "cache/built").glob(".making-*")}
    found |= {("file", str(path)) for path in LOGS.glob("*")}
    return found | {("file", str(path)) for path in (folder / "results").glob("*/*/.*")}


def _engines_files(folder: Path) -> Found:
    """What Docker and its containerd keep on disk and in their state, but for what they write about themselves.

    And what is registered with that containerd, asked with its own client.
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
    """Asked for without the SDK."""
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
    """The engine's answer. A restarting engine is waited for; one that stays down cannot be counted."""
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
    """Asked for with virsh; its networks and pools as well."""
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
