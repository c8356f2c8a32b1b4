"""The sockets of containerd's shims: a killed shim leaves its own, and containerd does not remove it."""

from __future__ import annotations

import hashlib
from pathlib import Path

SOCKETS = Path("/run/containerd/s")
"""The folder of all shims' sockets, independent of containerd's own folders (its runtime/v2/shim/util_unix.go)."""
TASKS = "io.containerd.runtime.v2.task"
"""Below containerd's root and its state: a folder for each namespace, and in that one for each container."""


def remove_socket(address: str, namespace: str, container: str) -> None:
    """Remove the socket of a container whose shim is gone; `address` is where its containerd listens."""
    digest = hashlib.sha256(f"{address}/{namespace}/{container}".encode()).hexdigest()
    (SOCKETS / digest).unlink(missing_ok=True)


def remove_sockets(address: str, state: Path) -> None:
    """Remove the sockets of all containers of a containerd that has ended; `state` is its folder of that name."""
    for folder in (state / TASKS).glob("*/*"):
        remove_socket(address, folder.parent.name, folder.name)
