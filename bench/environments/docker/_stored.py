"""Containers with storage of their own in addition to the overlay.

It is created before the container is requested and removed after it, so that the startup metrics include its mount but
not its creation.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.core.text import NOT_UTF8
from isobench.environments.docker._client import LABEL, engine_errors
from isobench.environments.docker._sandbox import DockerSandbox
from isobench.filesystem.paths import check_name
from isobench.images.lower import copy_lower

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from isobench.environments.docker.engine import Docker

DATA = "/data"
_TMPFS = "size=512m,mode=755"
"""More than any scenario writes, and at most half of the smallest host's memory."""


class StorageSandbox(DockerSandbox):
    """Every container gets storage of its own."""

    def __init__(self, client: Any, environment: Docker, workdir: Path, kind: str) -> None:
        if kind == "bind":
            check_name(workdir, "Docker", NOT_UTF8, "ISOBENCH_WORK")
        super().__init__(client, environment, workdir)
        self._kind = kind

    def facts(self) -> Mapping[str, str]:
        facts = super().facts()
        where = {
            "bind": "a folder of the host's file system, bound into the container",
            "volume": f"a named volume of the driver local, under {self._info['DockerRootDir']}",
            "tmpfs": f"a tmpfs ({_TMPFS})",
        }
        root = f"{facts['storage']} for the root"
        return {**facts, "storage": f"{where[self._kind]}, at {DATA}; {root}"}

    @contextmanager
    def storage(self, name: str, *, with_lower: bool) -> Iterator[Mapping[str, Any]]:
        if self._kind == "tmpfs":
            yield {"tmpfs": {DATA: _TMPFS}}
        elif self._kind == "volume":
            with self._volume(name) as options:
                yield options
        else:
            with self._folder(name, with_lower=with_lower) as options:
                yield options

    @contextmanager
    def _volume(self, name: str) -> Iterator[Mapping[str, Any]]:
        """A fresh volume. The engine fills it with the image's files at that path before the start."""
        with engine_errors("making the volume"):
            self._client.create_volume(name=name, labels={LABEL: self._run})
        try:
            yield {"binds": [f"{name}:{DATA}"]}
        finally:
            with engine_errors("removing the volume"):
                self._client.remove_volume(name)

    @contextmanager
    def _folder(self, name: str, *, with_lower: bool) -> Iterator[Mapping[str, Any]]:
        folder = self._workdir / name
        folder.mkdir(mode=0o755)
        try:
            if with_lower:
                copy_lower(folder / "lower")
            yield {"mounts": [{"Type": "bind", "Source": str(folder), "Target": DATA}]}  # a path may have a colon
        finally:
            shutil.rmtree(folder, ignore_errors=True)
