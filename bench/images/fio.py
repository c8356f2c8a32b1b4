"""This host's fio: the program and the libraries that it needs in an instance. Without it, only I/O is not measured.

The program in PATH may be a script that starts fio, and fio may be static. Its libraries are those that the dynamic
loader finds, including through LD_LIBRARY_PATH.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.images.closure import closure_of, inside, is_program, said
from isobench.processes.programs import find_all

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD_LIBRARIES = Path("usr/lib/fio")
"""Folder in the root file system for libraries that a loader would not find by itself in an instance."""
COMMAND = Path("usr/lib/fio/command")
"""File that describes how to start a dynamic fio (bench/probe/storage.c): its loader, the folders of its libraries, and
"always" if that is needed even in the host's root."""

_REMEDY = "apt-get install fio"
_PATH_IN_SCRIPT = re.compile(rb"/[^\s\"'`;|&<>(){}$]+")
_SCRIPT_SIZE = 1 << 16


class Fio(NamedTuple):
    """fio's files for the root file system. `why_not` is the reason if there are none."""

    version: str = ""
    files: dict[Path, Path] = {}  # noqa: RUF012 (nobody changes it)
    """Path in the root file system -> file of the host."""
    command: str = ""
    """The content of `COMMAND`; empty for a static one."""
    origin: str = ""
    """The program on the host."""
    why_not: str = ""
    remedy: str = ""


@cache
def host_fio() -> Fio:
    """The first fio of this host that can be run in an instance."""
    reasons = []
    for program, origin in _candidates():
        found = _examined(program, origin)
        if not found.why_not:
            return found
        reasons.append(found)
    return reasons[0] if reasons else Fio(why_not="this host has no fio", remedy=_REMEDY)


def _candidates() -> Iterator[tuple[Path, str]]:
    """The programs to try, and how each was found: for a script the program it starts, then later ones in PATH."""
    scripts: list[str] = []
    for name in find_all("fio"):
        instead = f", in the place of {', '.join(scripts)}" if scripts else ""
        if is_program(name):
            yield Path(name), f"{name}{instead}"
            continue
        scripts.append(name)
        for started in _named_in(name):
            yield started, f"{started}, which {name} starts"
    for name in scripts:
        yield Path(name), name


def _named_in(script: str) -> Iterator[Path]:
    """Programs with fio in their name that a script names by absolute path."""
    with open(script, "rb") as file:
        text = file.read(_SCRIPT_SIZE)
    for path in dict.fromkeys(map(os.fsdecode, _PATH_IN_SCRIPT.findall(text))):
        if "fio" in Path(path).name and os.access(path, os.X_OK) and is_program(path):
            yield Path(path)


def _examined(program: Path, origin: str) -> Fio:
    if not is_program(program):
        what = "is not an executable program itself, and does not show which program it starts"
        return Fio(why_not=f"{program} {what}", remedy=f"{_REMEDY}, or put fio itself first in PATH")
    needed = closure_of(program)
    if needed.missing:
        return Fio(why_not=f"{program} needs {needed.missing[0]}, which is missing", remedy=_REMEDY)
    told = said([str(program), "--version"])
    if told is None or not needed.is_known:
        return Fio(why_not=f"{program} does not run: `{program} --version` fails", remedy=_REMEDY)
    version = (told.strip().splitlines() or [""])[0][:100]
    files = {Path("usr/bin/fio"): program}
    if needed.loader is None:
        return Fio(version, files, origin=f"{origin}, static")
    libraries, odd = needed.libraries, needed.odd
    files[inside(needed.loader)] = Path(needed.loader)
    files |= {inside(path): Path(path) for name, path in libraries.items() if name not in odd}
    files |= {ODD_LIBRARIES / name: Path(libraries[name]) for name in odd}
    folders = dict.fromkeys(f"/{place.parent}" for place in files if place.name in libraries)
    command = "\n".join([needed.loader, ":".join(folders), "always" if odd else ""])
    return Fio(version, files, command, origin)
