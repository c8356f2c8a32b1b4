"""libvirt's daemons and QEMU's processes: which they are, and their root folder and user."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from isobench.environments.libvirt._connection import uri
from isobench.processes.accounting import pids_with, qemu_users
from isobench.processes.serving import Server, connected_paths, connected_to, server_of, serving_pid, writes_to


def root_of_daemon() -> Path:
    """The root folder as libvirt's daemon sees it: a private daemon sees folders of its own in the usual places."""
    pid = libvirtd_pid()
    return Path(f"/proc/{pid}/root" if pid else "/")


_DAEMONS = frozenset({"libvirtd", "virtqemud", "virtproxyd"})
_BEHIND = frozenset(
    {"virtqemud", "virtlogd", "virtlockd", "virtnetworkd", "virtstoraged", "virtsecretd", "virtnodedevd"}
)
"""The names of libvirt's daemons: those that clients connect to, and those that these connect to."""

_SOCKETS = ("virtqemud-sock", "libvirt-sock")
"""The names of their sockets, in the order in which libvirt's own client tries them."""


def libvirtd_pid() -> int:
    """The process that serves libvirt's socket, whatever its name; 0 if none is visible."""
    return serving_pid(_socket_path())


def daemon() -> Server:
    """libvirt's daemon, verified: monolithic or modular, whoever created its socket."""
    return server_of(_socket_path(), _DAEMONS)


def daemons_behind(daemon: int, qemu: int) -> list[int]:
    """The other daemons that work for a guest: those that libvirt's is connected to, and the one that writes QEMU's
    log."""
    return sorted({*connected_to(daemon, _BEHIND), *writes_to(qemu, _BEHIND)})


def _socket_path() -> str:
    """The socket of libvirt's daemon: the one named in the address, or the one that this process is connected to."""
    named = parse_qs(urlsplit(uri()).query).get("socket")
    if named:
        return named[0]
    ours = [name for name in connected_paths() if os.path.basename(name) in _SOCKETS]  # noqa: PTH119
    folder = "/run/libvirt"
    if urlsplit(uri()).path == "/session":
        usual = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = os.path.expanduser(f"{os.environ.get('XDG_RUNTIME_DIR') or usual}/libvirt")  # noqa: PTH111
    return (ours or [f"{folder}/{name}" for name in _SOCKETS if os.path.exists(f"{folder}/{name}")] or [""])[0]  # noqa: PTH110


def qemu_pid(name: str) -> int:
    """QEMU's process, identified by the domain's name on its command line."""
    return next(iter(pids_with(f"guest={name},")), 0)


def virtiofsd_pids(folder: Path) -> list[int]:
    """virtiofsd's processes (it forks into its sandbox), identified by the folder they share; none without it."""
    return pids_with(f"{folder}", "virtiofsd") if folder.is_dir() else []


def give_to_qemu(path: Path) -> None:
    """Give this file to the user as whom a system's libvirt runs QEMU; nobody else can open it."""
    if os.geteuid() != 0:
        return
    path.chmod(0o700 if path.is_dir() else 0o600)
    for user in qemu_users()[:1]:
        os.chown(path, user, -1)
