"""Folders and files that nobody else can have made, changed, or put in another's place.

What root reads, runs or removes on a shared disk may have been laid there by anybody. So a folder is used only where
each one on the way to it belongs to root or to this user and cannot be written by others (but for a sticky one, like
/var/tmp, in which nobody moves what is another's); what lies in it is opened relative to its descriptor, never through
a link, and is a file of this user's (or of root's) of a bounded size.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 16
"""Bytes that a record of ours has at most."""
_LINKS = 40
"""Links on the way to a folder before they are taken for a circle, as by the kernel (path_resolution(7))."""


class NotOurs(UsageError):
    """Somebody else made this folder or file, or could change it."""


def settled(path: Path) -> Path:
    """The absolute path of a folder, links resolved, as far as it is there.

    Raises `NotOurs` where somebody else could put another in its place.
    """
    place, rest = Path("/"), [*reversed(_absolute(path).parts[1:])]
    links = 0
    _check_way(place, place.lstat())
    while rest:
        name = rest.pop()
        here = place.parent if name == ".." else place / name
        try:
            found = here.lstat()
        except FileNotFoundError:
            return here.joinpath(*reversed(rest))
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _LINKS or found.st_uid not in _trusted():
                raise NotOurs(f"{here} is a link {'in a loop' if links > _LINKS else owner_of(found)}")
            target = here.readlink()
            place = Path("/") if target.is_absolute() else place
            rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        else:
            _check_way(here, found)
            place = here
    return place


def own_folder(path: Path, mode: int = 0o711) -> Path:
    """The folder at `path`, made with this mode where there is none; one that was there keeps its mode.

    Raises `NotOurs` where it is another user's or others can write in it, `OSError` where it cannot be made.
    """
    place = settled(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir()
        place.chmod(mode)
    except FileExistsError:
        pass
    os.close(open_folder(place))
    return place


def open_folder(path: Path | str, within: int | None = None) -> int:
    """A descriptor of a folder of ours. Raises `NotOurs`, or `OSError` where there is none or a link stands there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
    problem = trouble(os.fstat(descriptor))
    if problem:
        os.close(descriptor)
        raise NotOurs(f"{path} {problem}", remedy="name a folder of your own")
    return descriptor


@contextmanager
def folder(path: Path | str, within: int | None = None) -> Iterator[int]:
    """The same for the time of a block."""
    descriptor = open_folder(path, within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(name: str, within: int, *, limit: int = LIMIT, write: bool = False) -> int:
    """A descriptor of a regular file of ours in this folder, of no more than `limit` bytes.

    Raises `NotOurs` for anything else, `OSError` where there is none or a link stands there.
    """
    how = os.O_RDWR if write else os.O_RDONLY
    descriptor = os.open(name, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=within)
    found = os.fstat(descriptor)
    problem = trouble(found) if stat.S_ISREG(found.st_mode) else "is not a regular file"
    if not problem and found.st_size > limit:
        problem = f"is larger than {limit} bytes"
    if problem:
        os.close(descriptor)
        raise NotOurs(f"{name} {problem}")
    return descriptor


def read_file(name: str, within: int, *, limit: int = LIMIT) -> bytes:
    """What is in a file of ours. Raises as `open_file` does."""
    with open(open_file(name, within, limit=limit), "rb") as file:
        return file.read(limit)


def trouble(found: os.stat_result) -> str:
    """Why a folder or file cannot be taken for ours; nothing where it can. Root's are as good as this user's own."""
    if found.st_uid not in (os.geteuid(), 0):
        return owner_of(found)
    return "can be written by others" if _others_write(found) else ""


def strangers(path: Path) -> str:
    """Why words in a file may be a stranger's, by the file and the link to it; nothing where they are this user's,
    root's, or those of who called sudo. Whoever is of the file's group was let in by its owner."""
    caller = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    for found in (path.lstat(), path.stat()):
        if found.st_uid not in _trusted() and str(found.st_uid) != caller:
            return owner_of(found)
        if found.st_mode & stat.S_IWOTH and not stat.S_ISLNK(found.st_mode):
            return "can be written by others"
    return ""


def owner_of(found: os.stat_result) -> str:
    """Whose it is, in words: "belongs to user 1000"."""
    return f"belongs to user {found.st_uid}"


def _check_way(here: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise NotOurs(f"{here} is not a folder")
    if found.st_uid not in _trusted():
        raise NotOurs(f"{here} {owner_of(found)}", remedy="name a folder of your own")
    if _others_write(found) and not found.st_mode & stat.S_ISVTX:
        raise NotOurs(f"{here} can be written by others", remedy="name a folder of your own")


def _others_write(found: os.stat_result) -> bool:
    """A group of one's own is nobody else: many users' files are made for their group by default."""
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid())
    return bool(found.st_mode & stat.S_IWOTH or by_group)


def _trusted() -> set[int]:
    """Who can change everything anyway; the owner of / is somebody else than 0 in a user namespace."""
    return {0, os.geteuid(), Path("/").lstat().st_uid}


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} is relative, and the current folder no longer exists", remedy="cd elsewhere"
        ) from error
