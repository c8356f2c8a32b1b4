"""This host's fio: the program and the libraries that it needs in an instance. Without it, only I/O is not measured.

The program in PATH may be a script that starts fio, and fio may be static. Its libraries are those that the dynamic
loader finds, including through LD_LIBRARY_PATH.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.core import deadlines
from isobench.host.programs import find_all

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD_LIBRARIES = Path("usr/lib/fio")
"""Folder in the root file system for libraries that a loader would not find by itself in an instance."""
COMMAND = Path("usr/lib/fio/command")
"""File that says how to start a dynamic fio (bench/probe/storage.c): its loader, the folders of its libraries, and
"always" if it is started so even at the root."""

_REMEDY = "apt-get install fio"
_SHOWN = re.compile(r"^\s*(\S+)\s+=>\s+(/\S+)\s+\(0x", re.MULTILINE)
_MISSING = re.compile(r"^\s*(\S+)\s+=>\s+not found", re.MULTILINE)
_PATH_IN_SCRIPT = re.compile(rb"/[^\s\"'`;|&<>(){}$]+")
_SCRIPT_SIZE = 1 << 16


class Fio(NamedTuple):
    """fio's files for the root file system. `why_not` says why there are none."""

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
        if _is_program(name):
            yield Path(name), f"{name}{instead}"
            continue
        scripts.append(name)
        for inside in _named_in(name):
            yield inside, f"{inside}, which {name} starts"
    for name in scripts:
        yield Path(name), name


def _named_in(script: str) -> Iterator[Path]:
    """Programs with fio in their name that a script names by absolute path."""
    with open(script, "rb") as file:
        text = file.read(_SCRIPT_SIZE)
    for path in dict.fromkeys(map(os.fsdecode, _PATH_IN_SCRIPT.findall(text))):
        if "fio" in Path(path).name and os.access(path, os.X_OK) and _is_program(path):
            yield Path(path)


def _examined(program: Path, origin: str) -> Fio:
    if not _is_program(program):
        what = "is not an executable program itself, and does not show which program it starts"
        return Fio(why_not=f"{program} {what}", remedy=f"{_REMEDY}, or put fio itself first in PATH")
    loader = _interpreter(program)
    shown = _libraries(loader, program) if loader else ""
    missing = _MISSING.findall(shown)
    if missing:
        return Fio(why_not=f"{program} needs {missing[0]}, which is missing", remedy=_REMEDY)
    said = _said([str(program), "--version"])
    if said is None or (loader and not shown):
        return Fio(why_not=f"{program} does not run: `{program} --version` fails", remedy=_REMEDY)
    version = (said.strip().splitlines() or [""])[0][:100]
    files = {Path("usr/bin/fio"): program}
    if loader is None:
        return Fio(version, files, origin=f"{origin}, static")
    libraries = dict(_SHOWN.findall(shown))
    bare = _said([loader, "--inhibit-cache", "--list", str(program)], LD_LIBRARY_PATH="") or ""
    by_itself = dict(_SHOWN.findall(bare))
    odd = [name for name, path in libraries.items() if by_itself.get(name) != path]
    files[_inside(loader)] = Path(loader)
    files |= {_inside(path): Path(path) for name, path in libraries.items() if name not in odd}
    files |= {ODD_LIBRARIES / name: Path(libraries[name]) for name in odd}
    folders = dict.fromkeys(f"/{inside.parent}" for inside in files if inside.name in libraries)
    return Fio(version, files, "\n".join([loader, ":".join(folders), "always" if odd else ""]), origin)


def _inside(path: str) -> Path:
    """The same place in the root file system."""
    return Path(os.path.normpath(path).lstrip("/"))


def _interpreter(program: Path) -> str | None:
    """The dynamic loader that a program names (PT_INTERP, elf(5)); None if it is static or not ELF-64."""
    with program.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[4:6] != b"\x02\x01":
            return None
        offset = int.from_bytes(head[32:40], "little")
        size, count = int.from_bytes(head[54:56], "little"), int.from_bytes(head[56:58], "little")
        for number in range(count):
            file.seek(offset + number * size)
            entry = file.read(56)
            if entry[:4] == b"\x03\0\0\0":
                file.seek(int.from_bytes(entry[8:16], "little"))
                return os.fsdecode(file.read(int.from_bytes(entry[32:40], "little")).rstrip(b"\0"))
    return None


def _libraries(loader: str, program: Path) -> str:
    """The libraries that the loader finds, one per line, and those that it reports as missing (ldd(1))."""
    listed = _said([loader, "--list", str(program)])
    return listed or _said([loader, str(program)], LD_TRACE_LOADED_OBJECTS="1") or ""


def _is_program(path: str | Path) -> bool:
    """Whether this is a real program: not a script, nor a link to the launcher of snaps."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF" and Path(path).resolve().name != "snap"
    except OSError:
        return False


def _said(command: list[str], **environ: str) -> str | None:
    """The output of a command; None if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=deadlines.stretched(30), check=True, env={**os.environ, **environ}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
