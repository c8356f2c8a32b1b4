"""Making the root file system of a workload: an image or Debian packages, a folder and files, one over the other."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import BuildError
from isobench.core.text import clean
from isobench.images.archive import archive_of, inside
from isobench.images.debian import debian_tree
from isobench.images.image import image_of
from isobench.workloads.program import scenario_name
from isobench.workloads.workload import Command, Root, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def root_of(
    packages: Sequence[str] = (), files: Mapping[str, Path] | None = None, folder: Path | None = None, image: str = ""
) -> Callable[[], Root]:
    """A function that makes the root file system on first use."""

    def make() -> Root:
        found: dict[Path, Path] = {}
        links: dict[Path, str] = {}
        if folder is not None:
            _add(Path(), folder, found, links)
        for place, source in (files or {}).items():
            _add(inside(place), source, found, links)
        if not image:
            return Root(archive_of(found, links, debian_tree(packages) if packages else None))
        its = image_of(image)
        archive = archive_of(found, links, its.tree, [Path(its.folder.lstrip("/"))])
        return Root(archive, its.environ, its.folder, its.user, its.entrypoint, its.command)

    return make


def image_workload(image: str, words: Sequence[str]) -> Workload:
    """The workload that runs an image's program, with these arguments or its own."""
    name = re.split(r"[@:]", image.rstrip("/").rpartition("/")[2])[0].removesuffix(".tar")
    title = clean(shlex.join([image, *words]), 80)
    its_root = root_of(image=image)

    def make() -> Root:
        root = its_root()
        if not (words or root.entrypoint or root.arguments):
            raise BuildError(f"{image} does not say which program it runs", remedy="name one after --")
        return root

    return Workload(scenario_name("image", name), title, make, Command(tuple(words), is_entered=True))


def _add(place: Path, source: Path, files: dict[Path, Path], links: dict[Path, str]) -> None:
    """Add a file at a place, or everything below a folder; links stay links."""
    if source.is_file():
        files[place] = source
        return
    for folder, folders, names in os.walk(source):
        for name in (*folders, *names):
            path = Path(folder, name)
            inside = place / path.relative_to(source)
            if path.is_symlink():
                links[inside] = str(path.readlink())
            elif path.is_file():
                files[inside] = path
