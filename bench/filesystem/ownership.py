"""Folders and files that no other user can have created, changed or replaced.

Anybody may have placed what root reads, runs or removes on a shared disk. So a folder is used only if every folder on
the way to it belongs to root or this user and others cannot write to it (except a sticky one, like /var/tmp, in which
nobody can move another user's files). Its content is opened relative to its descriptor, never through a link, and must
be a file of this user or root of a bounded size.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 16
"""Maximum bytes of a record of isobench."""
_LINKS = 40
"""Links on the way to a folder before they count as a loop, as in the kernel (path_resolution(7))."""


class NotOurs(UsageError):
    """Another user made this folder or file, or could change it."""


def settled(path: Path) -> Path:
    """The absolute path of a folder, links resolved as far as it exists.

    Raises `NotOurs` if another user could replace it.
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
    """The folder at `path`, created with this mode if it does not exist; an existing one keeps its mode.

    Raises `NotOurs` if it belongs to another user or others can write to it, `OSError` if it cannot be created.
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
    """A descriptor of a trusted folder. Raises `NotOurs`, or `OSError` if it does not exist or is a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
    problem = trouble(os.fstat(descriptor))
    if problem:
        os.close(descriptor)
        raise NotOurs(f"{path} {problem}", remedy="name a folder of your own")
    return descriptor


@contextmanager
def folder(path: Path | str, within: int | None = None) -> Iterator[int]:
    """The same as a context manager."""
    descriptor = open_folder(path, within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(name: str, within: int, *, limit: int = LIMIT, write: bool = False) -> int:
    """A descriptor of a trusted regular file in this folder, of no more than `limit` bytes.

    Raises `NotOurs` for anything else, `OSError` if it does not exist or is a link.
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
    """The content of a trusted file. Raises as `open_file` does."""
    with open(open_file(name, within, limit=limit), "rb") as file:
        return file.read(limit)


def trouble(found: os.stat_result) -> str:
    """Why a folder or file cannot be trusted; empty if it can. It may belong to this user or to root."""
    if found.st_uid not in (os.geteuid(), 0):
        return owner_of(found)
    return "can be written by others" if _others_write(found) else ""


def strangers(path: Path) -> str:
    """Why another user may have written a file, by the file and the link to it; empty if only this user, root, or the
    user who called sudo can have. The file's group counts as trusted by its owner."""
    caller = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    for found in (path.lstat(), path.stat()):
        if found.st_uid not in _trusted() and str(found.st_uid) != caller:
            return owner_of(found)
        if found.st_mode & stat.S_IWOTH and not stat.S_ISLNK(found.st_mode):
            return "can be written by others"
    return ""


def owner_of(found: os.stat_result) -> str:
    """The owner, in words: "belongs to user 1000"."""
    return f"belongs to user {found.st_uid}"


def _check_way(here: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise NotOurs(f"{here} is not a folder")
    if found.st_uid not in _trusted():
        raise NotOurs(f"{here} {owner_of(found)}", remedy="name a folder of your own")
    if _others_write(found) and not found.st_mode & stat.S_ISVTX:
        raise NotOurs(f"{here} can be written by others", remedy="name a folder of your own")


def _others_write(found: os.stat_result) -> bool:
    """By default many users' files are writable by their group, which is private: nobody else is in it."""
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid != 0 and not _is_private(found.st_gid)
    return bool(found.st_mode & stat.S_IWOTH or by_group)


def _is_private(group: int) -> bool:
    """Whether a group is this user's own: it has the user's name, as pam_umask(8) requires, and no other members. On
    some systems all users have the same first group (users)."""
    if group != os.getegid():
        return False
    try:
        user, found = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(group)
    except KeyError:  # there are no names, as in many containers: compare the numbers
        return group == os.geteuid()
    return found.gr_name == user and {*found.gr_mem} <= {user}


def _trusted() -> set[int]:
    """Users who can change everything anyway; in a user namespace the owner of / is not 0."""
    return {0, os.geteuid(), Path("/").lstat().st_uid}


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} is relative, and the current folder no longer exists", remedy="cd elsewhere"
        ) from error
