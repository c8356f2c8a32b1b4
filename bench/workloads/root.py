"""Making the root file system of a workload: Debian packages, files and a folder of the host, one over the other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.images.archive import archive_of
from isobench.images.debian import debian_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def root_of(packages: Sequence[str], files: Mapping[str, Path], folder: Path | None) -> Callable[[], Path]:
    """What makes the archive when it is first needed."""

    def make() -> Path:
        found: dict[Path, Path] = {}
        links: dict[Path, str] = {}
        if folder is not None:
            _add(Path(), folder, found, links)
        for place, source in files.items():
            _add(Path(place.lstrip("/")), source, found, links)
        return archive_of(found, links, debian_tree(packages) if packages else None)

    return make


def _add(place: Path, source: Path, files: dict[Path, Path], links: dict[Path, str]) -> None:
    """A file at a place, or everything below a folder; links stay links."""
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
