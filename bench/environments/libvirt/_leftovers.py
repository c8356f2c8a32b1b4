"""Cleaning up after a dead run in libvirt: its domains and their traces."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import MeasurementError, Unavailable
from isobench.daemons.private import ended
from isobench.environments.libvirt._connection import bounded, close, connect, libvirt
from isobench.environments.libvirt._daemons import root_of_daemon
from isobench.environments.libvirt._traces import remove_traces
from isobench.filesystem.paths import opened

if TYPE_CHECKING:
    from typing import Any


def sweep(run: str) -> list[str]:
    """Destroy the domains of a dead run, whose names begin with the run's and a dash, and remove their traces.

    Raises `Unavailable` if libvirt does not answer and the run had used it, `MeasurementError` if a domain remains.
    """
    try:
        connection = connect()
    except Unavailable:
        if not (opened(run, "tcg") or opened(run, "kvm")):
            return []
        remove_traces(run, root_of_daemon())
        if ended("ISOBENCH_LIBVIRT_URI"):
            return []
        raise
    try:
        removed = bounded(lambda: _destroy_all(connection, f"{run}-"), 2 * deadlines.stretched(_SWEEP_SECONDS))
    except libvirt.libvirtError as error:
        raise MeasurementError(f"cleaning up domains: {error}") from error
    finally:
        close(connection)
    return [*(f"domain {name}" for name in removed), *remove_traces(run, root_of_daemon())]


_SWEEP_SECONDS = 20.0
"""libvirt waits up to 15 seconds for a QEMU that does not end at once."""


def _destroy_all(connection: Any, prefix: str) -> list[str]:
    """Destroy the domains whose names have this prefix until none are left; returns their names. Raises
    `MeasurementError`."""
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
            except libvirt.libvirtError as error:  # it may be ending just now
                destroyed[domain.name()] = str(error)
        time.sleep(0.05)
    return list(destroyed)
