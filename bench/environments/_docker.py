"""The Docker engine: the way to it, what it says when it fails, its daemons, and what a dead run left in it."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from bench import deadlines
from bench.accounting import parent, peer_pid, process_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
LABEL = "isobench.run"
"""Carried by every container, image and volume; its value is the run's name."""


def connect() -> Any:
    """A low-level client of the engine at DOCKER_HOST, or at the usual socket. Raises `Unavailable`."""
    from bench.errors import Unavailable

    try:
        docker = _sdk()
    except ImportError as error:
        raise Unavailable("the Docker SDK is not installed", remedy="pip install 'isobench[docker]'") from error
    address = os.environ.get("DOCKER_HOST", DEFAULT_ADDRESS)
    try:
        client = docker.APIClient(base_url=address, version="auto", timeout=deadlines.stretched(60))
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        denied = "PermissionError" in repr(error) or "Permission denied" in str(error)
        reason = f"no permission to use {address}" if denied else f"no Docker engine answers at {address}"
        remedy = "run isobench as root or join the group docker" if denied else "systemctl start docker"
        raise Unavailable(reason, remedy=remedy) from error
    return client


def _sdk() -> Any:
    """The package; signals that come while it is imported are heeded when it is whole.

    An import that Ctrl-C breaks off leaves half a package in `sys.modules`, which can never be imported again, and the
    sweep at the end of the run wants it.
    """
    came: list[int] = []
    here = threading.current_thread() is threading.main_thread()  # only there are handlers set, and run
    before = {number: signal.getsignal(number) for number in _SIGNALS if here}
    try:
        for number in before:
            signal.signal(number, lambda number, frame: came.append(number))
        import docker
        import requests  # noqa: F401 (of which docker imports parts)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in came:
        signal.raise_signal(late)
    return docker


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Whatever the engine or the way to it says, as a `MeasurementError` with what was being done."""
    import docker
    import requests

    from bench.errors import MeasurementError

    try:
        yield
    except docker.errors.APIError as error:
        raise MeasurementError(f"{doing}: {error.explanation or error}") from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise MeasurementError(f"{doing}: {error}") from error


def engine_pids() -> list[int]:
    """dockerd, known by its end of the socket, and its containerd: its child, or the system's."""
    dockerd = peer_pid(os.environ.get("DOCKER_HOST", DEFAULT_ADDRESS).removeprefix("unix://"))
    if not dockerd:
        return []
    others = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and process_name(int(pid)) == "containerd"]
    own = [pid for pid in others if parent(pid) == dockerd]
    return [dockerd, *(own or others)]


def sweep(run: str) -> list[str]:
    """Remove the containers, volumes and images that carry this run's label.

    Raises `Unavailable` where the engine does not answer and the run had come as far as to use it.
    """
    from bench.errors import MeasurementError, Unavailable
    from bench.paths import opened

    try:
        client = connect()
    except Unavailable:
        if opened(run, "docker"):
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
                if attempt == 0:
                    raise
                time.sleep(0.5)
    return removed


_SWEEPS = 6
"""A request that the run had made when it was stopped may still be worked on: its image is then in use for a while."""


def _sweep(client: Any, run: str, removed: list[str]) -> None:
    wanted = {"label": f"{LABEL}={run}"}
    for container in client.containers(all=True, filters=wanted):
        client.remove_container(container["Id"], force=True, v=True)
        removed.append(f"container {container['Id'][:12]}")
    for volume in client.volumes(filters=wanted)["Volumes"] or ():
        client.remove_volume(volume["Name"], force=True)
        removed.append(f"volume {volume['Name']}")
    for image in client.images(filters=wanted):
        tags = [tag for tag in image.get("RepoTags") or () if tag != _UNTAGGED]
        for tag in _own_tags(tags, run) or [image["Id"]] * (not tags):
            client.remove_image(tag, force=True)
            removed.append(f"image {tag.removeprefix('sha256:')[:60]}")


_UNTAGGED = "<none>:<none>"
"""What the engine calls the tag of an image that has none, as one has whose tag was removed while it was in use."""


def _own_tags(tags: list[str], run: str) -> list[str]:
    """Those that the run gave; one that somebody else has given to its image since is not touched."""
    return [tag for tag in tags if tag.startswith(f"{run.lower()}:")]
