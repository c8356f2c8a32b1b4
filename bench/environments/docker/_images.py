"""Images in Docker, over its API as with `docker pull`, `load`, `import`, `push` and `rmi`."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.contracts.images import MessageLost, OutOfReach, Pulled, UnknownCompression
from isobench.core.errors import MeasurementError
from isobench.environments._offers import LABEL as OFFERED
from isobench.environments._offers import Offers, allocated
from isobench.environments.docker._client import LABEL, engine_errors
from isobench.environments.docker._sdk import docker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any


class DockerImages(Offers):
    """The images of one engine (`isobench.contracts.images.Images`)."""

    def __init__(self, client: Any, workdir: Path, *, tells_fetched: bool = True) -> None:
        """`tells_fetched`: the engine reports at once when the last byte has arrived."""
        super().__init__(workdir, {LABEL: workdir.parent.name})
        self._client = client
        self._tells_fetched = tells_fetched
        self._mine = f"{LABEL}={workdir.parent.name}"

    def clear(self, name: str) -> None:
        with engine_errors("removing what there is of the image"):
            for image in self._client.images(filters={"label": [self._mine, f"{OFFERED}={name}"]}):
                with suppress(docker.errors.ImageNotFound):  # it was a part of one before it
                    self._client.remove_image(image["Id"], force=True)

    def pull(self, image: str) -> Pulled:
        """Layers are unpacked one after the other while further ones are fetched. With containerd's image store the
        engine looks ten times a second what has arrived, which is too rarely to divide a pull by."""
        try:
            return self._pulled(image)
        except MeasurementError as error:
            if re.search(_NOBODY_THERE, error.reason) and self._answers_here(image):
                raise OutOfReach(f"{_ELSEWHERE} ({error.reason})", remedy=_OF_ITS_OWN) from error
            raise

    def _pulled(self, image: str) -> Pulled:
        name, _, tag = image.rpartition(":")
        fetched, reused = None, 0
        with engine_errors("pulling the image"):
            for line in _said("pulling the image", self._client.pull(name, tag, stream=True, decode=True)):
                if self._tells_fetched and line.get("status") == "Download complete":
                    fetched = time.monotonic()
                reused += line.get("status") == "Already exists"
        return Pulled(fetched, reused)

    def _answers_here(self, image: str) -> bool:
        """Whether the image is in the registry that is offered, and that answers."""
        kept = self._registry
        return kept is not None and image.startswith(f"{kept.address}/") and kept.answers()

    def load(self, archive: Path) -> None:
        with engine_errors("loading the image"), archive.open("rb") as file:
            for _ in _said("loading the image", self._client.load_image(file)):
                pass

    def import_files(self, root: Path, image: str) -> None:
        name, _, tag = image.rpartition(":")
        with engine_errors("importing the image"), root.open("rb") as file:
            told = self._client.import_image_from_data(
                file, repository=name, tag=tag, changes=self._instructions(image)
            )
            for _ in _said("importing the image", map(json.loads, told.splitlines())):
                pass

    def push(self, image: str, elsewhere: str) -> None:
        name, _, tag = elsewhere.rpartition(":")
        with engine_errors(_PUSHING):
            self._client.tag(image, name, tag)
            for line in _said(_PUSHING, self._client.push(name, tag, stream=True, decode=True)):
                if line.get("status", "").startswith(_NOT_SENT):
                    raise MeasurementError(f"{_PUSHING}: not all of it was sent ({line['status'][:100]})")

    def build(self, context: Path, image: str, *, cached: bool) -> None:
        """Uses the engine's own builder, whose intermediate images are removed with the image."""
        with engine_errors("building the image"), context.open("rb") as file:
            lines = self._client.build(
                fileobj=file, custom_context=True, tag=image, nocache=not cached, rm=True, forcerm=True, decode=True
            )
            for _ in _said("building the image", lines):
                pass

    def digests(self, image: str) -> tuple[str, tuple[str, ...]]:
        with engine_errors("inspecting the image"):
            found = self._client.inspect_image(image)
            return found["Id"], tuple(found["RootFS"]["Layers"])

    def remove(self, image: str) -> None:
        with engine_errors("removing the image"):
            self._client.remove_image(image)

    def disk_bytes(self, image: str) -> int | None:
        """The folders of its layers and of its containers' layers, and the engine's files about each container, if its
        storage driver names them."""
        with engine_errors("inspecting the image"):
            folders = _folders(self._client.inspect_image(image), "UpperDir", "LowerDir")
            if not folders:
                return None
            for container in self._client.containers(all=True, filters={"ancestor": image}):
                about = self._client.inspect_container(container["Id"])
                if not about["HostsPath"]:  # its parent would be the current folder
                    return None
                folders += [*_folders(about, "UpperDir", "LowerDir", "WorkDir"), str(Path(about["HostsPath"]).parent)]
        return allocated(folders)


def in_containerd(info: Mapping[str, Any]) -> bool:
    """Whether an engine with this configuration (`docker info`) has its images in containerd's image store."""
    return any(str(value).startswith("io.containerd.snapshotter") for _, value in info.get("DriverStatus") or ())


def _folders(about: Mapping[str, Any], *names: str) -> list[str]:
    """What the storage driver says of an image or a container; nothing with containerd's image store."""
    data = (about.get("GraphDriver") or {}).get("Data") or {}
    return [folder for name in names for folder in data.get(name, "").split(":") if folder]


_TOO_OLD = "invalid tar header"
"""What an engine says of a layer with a compression that it does not know."""
_NOBODY_THERE = r"dial tcp \S+: connect: (connection refused|network is unreachable|no route to host)"
_ELSEWHERE = "the engine does not reach the registry on this host's loopback: it is in another network or machine"
_OF_ITS_OWN = "docker-overlay2, whose engine is the run's own"
_PUSHING = "pushing the image"
_NOT_SENT = ("Layer already exists", "Mounted from")
"""The engine's messages about a layer that it need not send."""
_AGAIN = "Retrying in "
"""How the engine's message begins that it will try a layer again, up to five times, after 5, 10, 15 and 20 seconds."""


def _said(doing: str, lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines of the engine's progress report. Raises `MeasurementError` for one with an error, and if a layer has to
    be tried again: the seconds that the engine waits before that are no cost of an image, and would be counted as one.
    If it is being sent, that is a `MessageLost`.
    """
    for line in lines:
        if line.get("status", "").startswith(_AGAIN):
            kind = MessageLost if doing == _PUSHING else MeasurementError
            reason = f"{doing}: a layer broke off, and the engine would wait before it tries again"
            raise kind(reason, remedy="the engine's log says why")
        if "error" in line:
            words = " ".join(str(line["error"]).split())[:300]
            if _TOO_OLD in words:
                raise UnknownCompression(f"{doing}: {words}", remedy="for layers of zstd: Docker 23.0 or newer")
            raise MeasurementError(f"{doing}: {words}")
        yield line
