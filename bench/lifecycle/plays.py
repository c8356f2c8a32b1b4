"""What killed plays of a fleet left on this host: folders of Ansible's own files.

They are made by `arrive.yml` of the collection (contrib/ansible) in a folder that all users share. Hosts may share it,
too, so a name consists of the host's name and ten letters. Between two tasks nothing of a play runs on the host, so no
lock could show that it is alive. A play changes its folder at the beginning and at the end of each task, and the
processes of a task name it. So it is dead if neither has happened for an hour.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.filesystem.ownership import NotOurs, settled
from isobench.filesystem.paths import variable
from isobench.lifecycle.leftovers import left_alone, remove_folder
from isobench.processes.accounting import pids_with

if TYPE_CHECKING:
    from collections.abc import Iterator

_USUAL = "/var/tmp"
_IDLE = 3600.0
"""Seconds, as in arrive.yml: a play that is idle waits for slower hosts."""


def clean(*, dry_run: bool = False) -> list[str]:
    """Remove the folders of this user's dead plays, and name those of other users; a line for each, as in `leftovers`.

    Every path in a settled folder is safe: nobody else can replace what belongs to this user. Nothing is changed in
    another user's folder, even by root, because that user could move its content meanwhile.
    """
    done, theirs = list[str](), list[str]()
    with suppress(OSError, NotOurs):  # where others can replace folders, there are none of ours
        place = settled(Path(variable("ISOBENCH_WORK") or _USUAL))
        for name, owner in _idle(place):
            if owner != os.geteuid():
                theirs.append(name)
            elif not pids_with(name):
                done += [f"would remove {place / name}"] if dry_run else remove_folder(place / name)
        done += left_alone(theirs, place)
    return done


def _idle(place: Path) -> Iterator[tuple[str, int]]:
    """The folders of this host's plays in which no task has begun or ended for an hour, with their owners."""
    is_plays = re.compile(rf"isobench-play-{re.escape(os.uname().nodename)}-[A-Za-z0-9]{{10}}").fullmatch
    for name in sorted(filter(is_plays, os.listdir(place))):
        with suppress(FileNotFoundError):  # its play has just ended
            found = (place / name).lstat()
            if stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > _IDLE:
                yield name, found.st_uid
