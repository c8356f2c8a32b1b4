"""Root file systems of workloads: one archive each in the cache, from which every environment takes the same bits.

Containers import it, guests have a disk made of it, and what runs from a folder of the host unpacks it. It also has the
probe, which starts the workload's commands (bench/probe/run.c), and the folders that isolation mounts on.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.filesystem.cache import cached
from isobench.filesystem.mounts import remove_tree, unmount_below
from isobench.filesystem.paths import content_hash
from isobench.host.programs import output
from isobench.images.rootfs import FOLDERS, MTIME, TEXTS
from isobench.probe.build import probe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DATA = "/data"
"""The working folder of a workload's commands: fresh for each instance, on the environment's own storage."""
_FRESH = ("data", "run", "tmp")
"""Folders that are fresh for each instance also where the rest of a root file system is kept between two."""
_OPEN = 0o1777
_FORMAT = 1
"""Raised when the same files would make another archive."""


def archive_of(files: Mapping[Path, Path], links: Mapping[Path, str]) -> Path:
    """The archive with these files of the host (place inside -> file) and symbolic links (place -> target).

    Raises `BuildError`.
    """
    wanted = {Path("probe"): probe_path(), **files}
    key = content_hash(_parts(wanted, links))
    return cached("workload", key, lambda folder: _write(folder / "root.tar", wanted, links)) / "root.tar"


def identity(archive: Path) -> str:
    """What tells an archive from one with other content."""
    return archive.parent.name.removeprefix("workload-")


def unpack(archive: Path, target: Path) -> None:
    """The root file system in a new folder. Raises `MeasurementError` where it cannot be written."""
    target.mkdir(mode=0o755)
    options = ["--extract", "--numeric-owner", "--preserve-permissions"]
    output(["tar", *options, f"--file={archive}", f"--directory={target}"], deadlines.stretched(300))


class Unpacked:
    """The root file systems that instances of one sandbox were given, each unpacked when it is first asked for."""

    def __init__(self, workdir: Path, furnish: Callable[[Path], None] = lambda root: None) -> None:
        self._workdir = workdir
        self._furnish = furnish
        self._ready: set[Path] = set()

    def fresh(self, archive: Path) -> Path:
        """The folder with a root file system, what instances write to as it was in the beginning. For one instance at
        a time. Raises `MeasurementError`."""
        place = self._workdir / archive.parent.name
        root, pristine = place / "root", place / "pristine"
        if root not in self._ready:
            remove_tree(place)  # half of one, where an earlier attempt failed
            place.mkdir(mode=0o700)  # nobody else reaches its /tmp
            unpack(archive, root)
            pristine.mkdir()
            output(["cp", "--archive", *(str(root / name) for name in _FRESH), str(pristine)], deadlines.stretched(60))
            self._furnish(root)
            self._ready.add(root)
            return root
        for name in _FRESH:
            remove_tree(root / name)
        output(["cp", "--archive", f"{pristine}/.", str(root)], deadlines.stretched(60))
        return root

    def close(self) -> None:
        """Unmount what was mounted in them; the folders go with the work folder."""
        for root in self._ready:
            unmount_below(root.parent)


def _parts(files: Mapping[Path, Path], links: Mapping[Path, str]) -> Iterator[bytes]:
    yield repr((FOLDERS, TEXTS, _FORMAT)).encode()
    for place, target in sorted(links.items()):
        yield f"{place} -> {target}".encode()
    for place, file in sorted(files.items()):
        yield f"{place} {_mode(file):o}".encode()
        yield file.read_bytes()


def _mode(file: Path) -> int:
    return 0o755 if os.access(file, os.X_OK) else 0o644


def _write(target: Path, files: Mapping[Path, Path], links: Mapping[Path, str]) -> None:
    """Every entry root's, of one time, in the order of the names: the same content is the same archive."""
    folders = {Path(name) for name in FOLDERS} | {Path("data")}
    folders |= {parent for place in (*files, *links, *map(Path, TEXTS)) for parent in place.parents}
    folders |= {parent for place in folders for parent in place.parents}
    places = {*folders, *files, *links, *map(Path, TEXTS)} - {Path()}
    with tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for place in sorted(places):
            info = tarfile.TarInfo(str(place))
            info.mtime, info.uname, info.gname = MTIME, "root", "root"
            if place in links:
                info.type, info.linkname = tarfile.SYMTYPE, links[place]
                archive.addfile(info)
            elif place in files:
                info.mode, info.size = _mode(files[place]), files[place].stat().st_size
                with files[place].open("rb") as file:
                    archive.addfile(info, file)
            elif str(place) in TEXTS:
                text = TEXTS[str(place)].encode()
                info.mode, info.size = 0o644, len(text)
                archive.addfile(info, io.BytesIO(text))
            else:
                info.type, info.mode = tarfile.DIRTYPE, _OPEN if place.name in ("tmp", "data") else 0o755
                archive.addfile(info)
    target.chmod(0o644)
