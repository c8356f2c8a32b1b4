"""Cleaning up after a dead run in the engine, and after a killed container beneath it."""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from isobench.core.errors import MeasurementError, Unavailable
from isobench.daemons.private import ended
from isobench.daemons.shims import remove_socket
from isobench.environments.docker._client import LABEL, connect, engine_errors
from isobench.environments.docker._daemons import containerd_settings
from isobench.filesystem.paths import opened
from isobench.resources.cgroups import remove

if TYPE_CHECKING:
    from typing import Any


OWN_ENGINES = (
    *("docker-rootless", "docker-overlay2", "docker-containerd", "docker-vfs", "docker-fuse", "docker-btrfs"),
    "docker-remap",
)
"""Environments that start an engine for themselves, and so use no other."""


def sweep(run: str) -> list[str]:
    """Remove the containers, volumes and images that carry this run's label.

    Raises `Unavailable` if the engine does not answer and the run had used it.
    """
    used = opened(run, "docker", but=OWN_ENGINES)
    try:
        client = connect()
    except Unavailable:
        if used and not ended("DOCKER_HOST"):
            raise
        return []
    removed: list[str] = []
    with closing(client):
        for attempt in range(_SWEEPS, -1, -1):
            try:
                with engine_errors("cleaning up"):
                    _sweep(client, run, removed)
                break
            except MeasurementError:
                if not used:
                    break
                if attempt == 0:
                    raise
                time.sleep(0.5)
    return removed


_SWEEPS = 6
"""The engine may still be processing the dead run's last request: its image is then in use for a while."""


def _sweep(client: Any, run: str, removed: list[str]) -> None:
    wanted = {"label": f"{LABEL}={run}"}
    for container in client.containers(all=True, filters=wanted):
        client.remove_container(container["Id"], force=True, v=True)
        removed.append(f"container {container['Id'][:12]}")
        forget(container["Id"])
    for volume in client.volumes(filters=wanted)["Volumes"] or ():
        client.remove_volume(volume["Name"], force=True)
        removed.append(f"volume {volume['Name']}")
    for image in client.images(filters=wanted):
        tags = [tag for tag in image.get("RepoTags") or () if tag != _UNTAGGED]
        for tag in _own_tags(tags, run) or [image["Id"]] * (not tags):
            client.remove_image(tag, force=True)
            removed.append(f"image {tag.removeprefix('sha256:')[:60]}")


def forget(container: str) -> None:
    """Remove what remains of a removed container whose shim was killed: its cgroups and the shim's socket.

    Neither the engine nor containerd looks for them again. They are named after the container's id, so a container on
    another host has none here.
    """
    if os.geteuid() == 0:
        with suppress(OSError):
            remove(f"*{container}*")
        remove_socket(containerd_settings()["address"], "moby", container)


_UNTAGGED = "<none>:<none>"
"""What the engine reports for an image without a tag, for example if its tag was removed while it was in use."""


def _own_tags(tags: list[str], run: str) -> list[str]:
    """The tags that the run gave. A tag that somebody else has given to its image since then is left alone."""
    return [tag for tag in tags if tag.startswith(f"{run.lower()}:") or f"/{run.lower()}/" in tag]
