"""Finding other people's programs: one way, so that what `provision` finds the rest finds, too."""

from __future__ import annotations

import os
import shutil

_ALSO = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Searched after PATH: a user's often lacks the folders of the system's daemons and tools."""


def find(name: str) -> str | None:
    """The path of a program in PATH or in the system's own folders; None where there is none."""
    return shutil.which(name, path=search_path())


def find_all(name: str) -> list[str]:
    """Every program of that name, in the order in which they would be found."""
    places = (shutil.which(name, path=folder) for folder in search_path().split(os.pathsep))
    return list(dict.fromkeys(place for place in places if place is not None))


def search_path() -> str:
    """PATH with the system's folders behind, for what is started."""
    own = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return os.pathsep.join([*own, *(folder for folder in _ALSO if folder not in own)])
