"""Root file systems of workloads: one archive each in the cache, from which every environment takes the same files.

Containers import it, guests have a disk made from it, and environments that run from a folder of the host unpack it. It
also has the probe, which starts the workload's commands (bench/probe/run.c), and the folders that isolation mounts on.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import BuildError
from isobench.filesystem.cache import cached
from isobench.filesystem.mounts import remove_tree, unmount_below
from isobench.filesystem.paths import content_hash
from isobench.images.rootfs import FOLDERS, MTIME, TEXTS
from isobench.probe.build import probe_path
from isobench.processes.programs import output

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

Content = Path | str | bytes | None
"""The content of a place: a file of the host, a link (its target as text), a file with these bytes, or a folder."""
DATA = "/data"
"""The working folder of a workload's commands: fresh for each instance, on the environment's own storage."""
_FOLDERS = frozenset(map(Path, ("data", "dev", "etc", "mnt", "proc", "run", "sys", "tmp")))
"""Always folders, even if an image or a folder has something else there: isobench mounts on them and writes to them
from outside the root file system, where a link would lead into the host's."""
_FRESH = ("data", "run", "tmp")
"""Folders that are fresh for each instance even if the rest of a root file system is kept."""
_OPEN = 0o1777
_FORMAT = 2
"""Version of the format: increased when the same files would make a different archive."""


def archive_of(
    files: Mapping[Path, Path], links: Mapping[Path, str], base: Path | None = None, folders: Sequence[Path] = ()
) -> Path:
    """The archive with these files of the host (place inside -> file), symbolic links (place -> target) and folders, on
    top of another archive if there is a `base`. Raises `BuildError`."""
    wanted = {Path("probe"): probe_path(), **files}
    places = (*map(Path, (*FOLDERS, "data")), *folders)
    key = content_hash(_parts(wanted, links, base, places))
    made = cached("workload", key, lambda folder: _write(folder / "root.tar", wanted, links, base, places))
    return made / "root.tar"


def identity(archive: Path) -> str:
    """Identifies the content of an archive."""
    return archive.parent.name.removeprefix("workload-")


def unpack(archive: Path, target: Path) -> None:
    """Unpack the root file system into a new folder. Raises `MeasurementError` if it cannot be written."""
    target.mkdir(mode=0o755)
    options = ["--extract", "--numeric-owner", "--preserve-permissions"]
    output(["tar", *options, f"--file={archive}", f"--directory={target}"], deadlines.stretched(300))


class Unpacked:
    """The given root file systems of a sandbox's instances, each unpacked on first use."""

    def __init__(self, workdir: Path, furnish: Callable[[Path], None] = lambda root: None) -> None:
        self._workdir = workdir
        self._furnish = furnish
        self._ready: set[Path] = set()

    def fresh(self, archive: Path) -> Path:
        """The folder with a root file system, in which the folders that instances write to are fresh. For one instance
        at a time. Raises `MeasurementError`."""
        place = self._workdir / archive.parent.name
        root, pristine = place / "root", place / "pristine"
        if root not in self._ready:
            remove_tree(place)  # a partial one from a failed attempt
            place.mkdir(mode=0o700)  # so that no other user reaches its /tmp
            unpack(archive, root)
            pristine.mkdir()
            output(["cp", "--archive", *(str(root / name) for name in _FRESH), str(pristine)], deadlines.stretched(60))
            self._furnish(root)
            self._ready.add(root)
            return root
        for name in _FRESH:
            if (root / name).is_symlink():
                (root / name).unlink()
            else:
                remove_tree(root / name)
        output(["cp", "--archive", f"{pristine}/.", str(root)], deadlines.stretched(60))
        return root

    def close(self) -> None:
        """Unmount what was mounted in them; the folders go with the work folder."""
        for root in self._ready:
            unmount_below(root.parent)


def _parts(
    files: Mapping[Path, Path], links: Mapping[Path, str], base: Path | None, folders: Sequence[Path]
) -> Iterator[bytes]:
    yield repr((sorted(map(str, folders)), TEXTS, _FORMAT)).encode()
    if base is not None:
        yield file_hash(base).encode()
    for place, target in sorted(links.items()):
        yield f"{place} -> {target}".encode()
    for place, file in sorted(files.items()):
        yield f"{place} {mode_of(file):o} {file_hash(file)}".encode()


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def mode_of(file: Path) -> int:
    """The mode that a file of the host has in an archive."""
    return 0o755 if os.access(file, os.X_OK) else 0o644


def _write(
    target: Path,
    files: Mapping[Path, Path],
    links: Mapping[Path, str],
    base: Path | None,
    folders: Sequence[Path],
) -> None:
    """Write the entries of the base, then ours in the order of their names, all owned by root and with the same time,
    so that the same content makes the same archive."""
    texts = {Path(name): text for name, text in TEXTS.items()}
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        there: dict[Path, tarfile.TarInfo] = {}
        if base is not None:
            texts = {place: text for place, text in texts.items() if place in _OF_THE_HOST}
            there = _copy(base, archive, {*files, *links, *texts})
        entries: dict[Path, Content] = dict.fromkeys(_through(place, there) for place in folders)
        entries |= {place: text.encode() for place, text in texts.items()}
        entries |= {_through(place, there): file for place, file in files.items()}
        entries |= {_through(place, there): link for place, link in links.items()}
        entries = {**dict.fromkeys(parent for place in entries for parent in place.parents), **entries}
        entries |= dict.fromkeys(_FOLDERS)
        odd = next((place for place in entries if place in there and entries[place] is None
                    and not (there[place].isdir() or there[place].issym())), None)  # fmt: skip
        if odd is not None:
            raise BuildError(f"the image's /{odd} is not a folder, as it is in every root file system")
        for place in sorted(entries.keys() - {Path()}):
            if entries[place] is not None or place not in there:
                add_entry(archive, place, entries[place])
    target.chmod(0o644)


_OF_THE_HOST = {Path("etc/hostname"), Path("etc/hosts"), Path("etc/resolv.conf")}
"""Files that a bootstrap copies from its host."""


def _copy(base: Path, archive: tarfile.TarFile, replaced: Collection[Path]) -> dict[Path, tarfile.TarInfo]:
    """Copy the base without devices, replaced entries, and anything that has to be a folder but is not; returns the
    entries by place."""
    there: dict[Path, tarfile.TarInfo] = {}
    with tarfile.open(base) as source:
        for member in source:
            place = Path(member.name)
            if member.isdir() and place in replaced:
                raise BuildError(
                    f"the image has a folder /{place}, where every root file system has a file of isobench"
                )
            if place == Path() or place in replaced or (place.parts[0] == "dev" and len(place.parts) > 1):
                continue
            if place in _FOLDERS and not member.isdir():
                continue
            member.name = str(place)
            if member.islnk():
                member.linkname = str(Path(member.linkname))
            archive.addfile(member, source.extractfile(member) if member.isreg() else None)
            there[place] = member
    return there


def _through(place: Path, there: Mapping[Path, tarfile.TarInfo]) -> Path:
    """The place with the base's links resolved: a Debian tree has links for /bin, /lib and /sbin."""
    top = there.get(Path(place.parts[0])) if len(place.parts) > 1 else None
    if top is None or not top.issym():
        return place
    return Path(inside(top.linkname), *place.parts[1:])


def inside(path: str) -> Path:
    """A path in a root file system, normalised so that it does not lead out of the root."""
    return Path(os.path.normpath(f"/{path}").lstrip("/"))


def add_entry(archive: tarfile.TarFile, place: Path, content: Content) -> None:
    """Write the entry of a place, owned by root and with a fixed time."""
    info = tarfile.TarInfo(str(place))
    info.mtime, info.uname, info.gname = MTIME, "root", "root"
    if isinstance(content, Path):
        info.mode, info.size = mode_of(content), content.stat().st_size
        with content.open("rb") as file:
            archive.addfile(info, file)
        return
    if isinstance(content, bytes):
        info.mode, info.size = 0o644, len(content)
    elif isinstance(content, str):
        info.type, info.linkname = tarfile.SYMTYPE, content
    else:
        info.type, info.mode = tarfile.DIRTYPE, _OPEN if place.name in ("tmp", "data") else 0o755
    archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
