"""Builds the probe with the system's C compiler, once per version of its sources and of the compiler."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import BuildError, UsageError
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import check_may_run, content_hash
from isobench.processes.programs import find, search_path

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = Path(__file__).parent
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-pthread")
_LINKED = ("-Wl,--wrap=_dl_get_origin",)
"""What probe.c has in place of a function of the C library."""


@cache
def probe_path() -> Path:
    """The static probe on the host, built if it is not in the cache. Raises `BuildError` with the remedy."""
    words = compiler()
    sources = sorted(SOURCES.glob("*.c"))
    parts = [file.read_bytes() for file in (*sources, *sorted(SOURCES.glob("*.h")))]
    parts += [" ".join([*words[1:], *FLAGS, *_LINKED]).encode(), _version(words), platform.machine().encode()]
    made = cached("probe", content_hash(parts), lambda folder: _build(words, sources, folder / "probe"))
    check_may_run(made, "ISOBENCH_CACHE")
    return made / "probe"


def probe_fact() -> dict[str, str]:
    """The fact that identifies the probe in every environment that runs it. Other sources or another compiler build
    another program, so the fingerprint changes."""
    return {"version.probe": probe_path().parent.name.removeprefix("probe-")}


def compiler() -> list[str]:
    """The start of the compiler's command line: CC, which may contain options or ccache, or else the compiler found.

    CFLAGS is ignored, because other options would build another program. Raises `BuildError`, `UsageError`.
    """
    value = os.environ.get("CC", "")
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise UsageError(f"CC is not a command line: {value!r}: {error}", remedy='CC="gcc -m64"') from error
    if words and find(words[0]) is None:
        raise BuildError(f"CC names {words[0]}, which is not installed", remedy="unset CC, or install that compiler")
    found = words or [path for path in map(find, ("cc", "gcc", "clang")) if path is not None][:1]
    if not found:
        raise BuildError("no C compiler found (cc, gcc or clang)", remedy=_REMEDY)
    return found


def compiled(words: Sequence[str], *options: str, what: str) -> None:
    """Run a compiler. Warnings are ignored. Raises `BuildError` with the end of its output."""
    done = _run([*words, *options])
    if done.returncode == 0:
        return
    said = done.stderr.strip() or done.stdout.strip()
    if "-lc" in said or "libc.a" in said:
        reason = f"{what} cannot be linked statically with {shlex.join(words)}: libc.a is missing"
        raise BuildError(reason, remedy=f"unset CC, or {_REMEDY}" if os.environ.get("CC") else _REMEDY)
    if "No space left" in said:  # in the cache, or in the compiler's temporary folder
        remedy = "free space there, or set ISOBENCH_CACHE and TMPDIR"
        raise BuildError(f"{what} cannot be built: {said[-300:]}", remedy=remedy)
    raise BuildError(
        f"{what} does not compile with {shlex.join(words)}:\n{said[-2000:]}", remedy=f"unset CC, or {_REMEDY}"
    )


_REMEDY = "apt-get install gcc libc6-dev"


def _version(words: Sequence[str]) -> bytes:
    done = _run([*words, "--version"])
    if done.returncode != 0:
        said = done.stderr.strip()[-300:] or f"it ended with status {done.returncode}"
        raise BuildError(f"`{shlex.join(words)} --version` fails: {said}", remedy=_REMEDY)
    return done.stdout.encode()


def _build(words: Sequence[str], sources: Sequence[Path], target: Path) -> None:
    compiled(words, *FLAGS, *_LINKED, "-o", str(target), *map(str, sources), what="the probe")
    if not target.exists():
        said = f"{shlex.join(words)} ends without an error, and has not built the probe"
        raise BuildError(
            said, remedy=f"unset CC, or {_REMEDY}" if os.environ.get("CC") else "put a compiler first in PATH"
        )
    try:
        subprocess.run(
            [target], capture_output=True, timeout=deadlines.stretched(60), check=False
        )  # without a verb it exits at once
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            made = f"programs built with {shlex.join(words)} do not run on this machine"
            raise BuildError(made, remedy=f"unset CC, or {_REMEDY}") from error


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment that makes its messages English, so that they can be recognised."""
    environ = {**os.environ, "PATH": search_path(), "LC_ALL": "C"}
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadlines.stretched(300),
            check=False,
            env=environ,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{command[0]} does not run: {error}", remedy=_REMEDY) from error
