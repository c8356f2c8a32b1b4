"""libvirt: the way to it, its daemon and QEMU's processes, and what a dead run left in it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bench.accounting import peer_pid, pids_with

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

DEFAULT_URI = "qemu:///system"


def connect() -> Any:
    """A connection to libvirt at ISOBENCH_LIBVIRT_URI, or to the system's. Raises `Unavailable`."""
    from bench.errors import Unavailable

    try:
        import libvirt
    except ImportError as error:
        raise Unavailable("libvirt-python is not installed", remedy="pip install 'isobench[libvirt]'") from error
    libvirt.registerErrorHandler(lambda *_: None, None)  # it prints every error to stderr otherwise
    uri = os.environ.get("ISOBENCH_LIBVIRT_URI", DEFAULT_URI)
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        reason = f"no libvirt answers at {uri}: {error}"
        raise Unavailable(reason, remedy="systemctl start libvirtd, or isobench run after provisioning") from error


def sweep(run: str) -> list[str]:
    """Destroy the domains of a dead run, known by the run's name and a dash before theirs."""
    from bench.errors import MeasurementError, Unavailable

    try:
        connection = connect()
    except Unavailable:
        return []
    import libvirt

    removed = []
    try:
        for domain in connection.listAllDomains():
            if domain.name().startswith(f"{run}-"):
                with suppress(libvirt.libvirtError):  # it may end at this moment
                    domain.destroy()
                removed.append(f"domain {domain.name()}")
        connection.close()
    except libvirt.libvirtError as error:
        raise MeasurementError(f"cleaning up domains: {error}") from error
    return removed


def libvirtd_pid() -> int:
    """The daemon at the other end of the socket; 0 where none answers."""
    uri = os.environ.get("ISOBENCH_LIBVIRT_URI", DEFAULT_URI)
    return peer_pid(uri.partition("socket=")[2] or "/var/run/libvirt/libvirt-sock")


def qemu_pid(name: str) -> int:
    """QEMU's process, known by the domain's name on its command line."""
    return next(iter(pids_with(f"guest={name},")), 0)


def virtiofsd_pids(folder: Path) -> list[int]:
    """virtiofsd's processes (it forks into its sandbox), known by the folder they share; none where it is not there."""
    return pids_with(f"{folder}", "virtiofsd") if folder.is_dir() else []


def give_to_qemu(path: Path) -> None:
    """Let the user that a system's libvirt runs QEMU as reach this file; nobody else gets in."""
    import pwd

    if os.geteuid() != 0:
        return
    path.chmod(0o700 if path.is_dir() else 0o600)
    for user in ("libvirt-qemu", "qemu"):
        with suppress(KeyError):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
            return
