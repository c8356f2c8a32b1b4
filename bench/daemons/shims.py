"""The sockets that containerd's shims listen on: a shim that is killed leaves its own, and containerd forgets it."""

from __future__ import annotations

import hashlib
from pathlib import Path

SOCKETS = Path("/run/containerd/s")
"""Where every shim makes its socket, whatever containerd's own folders are (its runtime/v2/shim/util_unix.go)."""
TASKS = "io.containerd.runtime.v2.task"
"""Below containerd's root and its state: a folder for each namespace, and in that one for each container."""


def remove_socket(address: str, namespace: str, container: str) -> None:
    """That of a container whose shim is gone, in the containerd that listens at this address."""
    digest = hashlib.sha256(f"{address}/{namespace}/{container}".encode()).hexdigest()
    (SOCKETS / digest).unlink(missing_ok=True)


def remove_sockets(address: str, state: Path) -> None:
    """Those of all containers that a containerd that is gone knew, by its `state`."""
    for folder in (state / TASKS).glob("*/*"):
        remove_socket(address, folder.parent.name, folder.name)
