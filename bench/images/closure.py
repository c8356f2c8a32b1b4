"""What a program of this host needs in another root file system: its dynamic loader and the libraries that it finds."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from isobench.core import deadlines

_SHOWN = re.compile(r"^\s*(\S+)\s+=>\s+(/\S+)\s+\(0x", re.MULTILINE)
_MISSING = re.compile(r"^\s*(\S+)\s+=>\s+not found", re.MULTILINE)


class Closure(NamedTuple):
    """A program's loader and libraries. Without a loader it is static."""

    loader: str | None = None
    libraries: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)
    """Name -> path on the host."""
    odd: tuple[str, ...] = ()
    """Libraries that the loader would not find by itself in another root, since a variable or /etc/ld.so.conf names
    their folders."""
    missing: tuple[str, ...] = ()
    is_known: bool = True
    """Whether the loader could list them."""


def closure_of(program: Path) -> Closure:
    """What a program needs, including libraries found by LD_LIBRARY_PATH."""
    loader = _interpreter(program)
    if loader is None:
        return Closure()
    shown = _libraries(loader, program)
    libraries = dict(_SHOWN.findall(shown))
    bare = said([loader, "--inhibit-cache", "--list", str(program)], LD_LIBRARY_PATH="") or ""
    by_itself = dict(_SHOWN.findall(bare))
    odd = tuple(name for name, path in libraries.items() if by_itself.get(name) != path)
    return Closure(loader, libraries, odd, tuple(_MISSING.findall(shown)), bool(shown))


def inside(path: str) -> Path:
    """The same place in a root file system."""
    return Path(os.path.normpath(path).lstrip("/"))


def is_program(path: str | Path) -> bool:
    """Whether this is a real program: not a script, nor a link to the launcher of snaps."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF" and Path(path).resolve().name != "snap"
    except OSError:
        return False


def said(command: list[str], **environ: str) -> str | None:
    """The output of a command; None if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=deadlines.stretched(30), check=True, env={**os.environ, **environ}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


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
    listed = said([loader, "--list", str(program)])
    return listed or said([loader, str(program)], LD_TRACE_LOADED_OBJECTS="1") or ""
