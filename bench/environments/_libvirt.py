"""libvirt: the way to it, its daemon and QEMU's processes, and what a dead run left in it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from bench import deadlines
from bench.accounting import peer_pid, pids_with
from bench.environments._traces import remove_traces

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
    """Destroy the domains of a dead run, known by the run's name and a dash before theirs, and remove their traces.

    Raises `Unavailable` where libvirt does not answer and the run had come as far as to use it, `MeasurementError`
    where a domain remains.
    """
    from bench.errors import MeasurementError, Unavailable
    from bench.paths import opened

    try:
        connection = connect()
    except Unavailable:
        if not (opened(run, "tcg") or opened(run, "kvm")):
            return []
        remove_traces(run, root_of_daemon())
        raise
    import libvirt

    try:
        removed = _destroy_all(connection, f"{run}-")
    except libvirt.libvirtError as error:
        raise MeasurementError(f"cleaning up domains: {error}") from error
    finally:
        with suppress(libvirt.libvirtError):
            connection.close()
    return [*(f"domain {name}" for name in removed), *remove_traces(run, root_of_daemon())]


_SWEEP_SECONDS = 20.0
"""libvirt gives a QEMU that does not end at once 15."""


def _destroy_all(connection: Any, prefix: str) -> list[str]:
    """Destroy the domains whose names begin so until there are none; their names. Raises `MeasurementError`."""
    import libvirt

    from bench.errors import MeasurementError

    destroyed: dict[str, str] = {}
    deadline = time.monotonic() + deadlines.stretched(_SWEEP_SECONDS)
    while there := [domain for domain in connection.listAllDomains() if domain.name().startswith(prefix)]:
        if time.monotonic() > deadline:
            left = ", ".join(f"{domain.name()} ({destroyed.get(domain.name()) or 'still there'})" for domain in there)
            raise MeasurementError(f"cleaning up domains: {left}")
        for domain in there:
            destroyed[domain.name()] = ""
            try:
                domain.destroy()
            except libvirt.libvirtError as error:  # it may end at this moment
                destroyed[domain.name()] = str(error)
        time.sleep(0.05)
    return list(destroyed)


def root_of_daemon() -> Path:
    """The root folder as its daemon sees it: a private one has folders of its own in the usual places."""
    from pathlib import Path

    pid = libvirtd_pid()
    return Path(f"/proc/{pid}/root" if pid else "/")


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
