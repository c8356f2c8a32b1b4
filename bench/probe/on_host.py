"""The probe on the host itself, as the other end of a measurement."""

from __future__ import annotations

import json
import subprocess

from isobench.core import deadlines
from isobench.core.errors import ProbeError
from isobench.probe.build import probe_path

TIMEOUT = 60.0
"""Seconds it may take; a broken path ends a client after a few."""


def probe_on_host(*arguments: str) -> bytes:
    """What `probe ARGUMENTS` writes. Raises `ProbeError` if it does not end."""
    limit = deadlines.stretched(TIMEOUT)
    try:
        return subprocess.run([str(probe_path()), *arguments], capture_output=True, timeout=limit).stdout
    except subprocess.TimeoutExpired:
        raise ProbeError(f"`probe {' '.join(arguments[:2])}` did not end in {limit:g} s") from None


def lay_veth(pid: int) -> list[str]:
    """Create a veth pair into the network namespace of a process; the kernel removes it with the namespace. Returns the
    address of the end there, or nothing if that is not allowed."""
    try:
        return [str(json.loads(probe_on_host("net", "veth", str(pid)).splitlines()[-1])["address"])]
    except (ProbeError, ValueError, LookupError, TypeError):
        return []
