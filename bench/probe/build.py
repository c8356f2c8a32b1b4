"""Builds the probe with the system's C compiler, once per content of its sources and version of the compiler."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from bench.cache import cached
from bench.errors import BuildError
from bench.paths import check_may_run, content_hash

SOURCES = Path(__file__).parent
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-pthread")


@cache
def probe_path() -> Path:
    """The static probe on the host, built now if it is not in the cache. Raises `BuildError` with the remedy."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BuildError("no C compiler found (cc, gcc or clang)", remedy="apt-get install gcc libc6-dev")
    sources = sorted(SOURCES.glob("*.c"))
    parts = [file.read_bytes() for file in (*sources, *sorted(SOURCES.glob("*.h")))]
    parts += [" ".join(FLAGS).encode(), _version(compiler), platform.machine().encode()]
    made = cached("probe", content_hash(parts), lambda folder: _compile(compiler, sources, folder / "probe"))
    check_may_run(made, "ISOBENCH_CACHE")
    return made / "probe"


def probe_fact() -> dict[str, str]:
    """The record of every environment that runs the probe: which one. Other sources, or another compiler, make another
    program, whose costs begin a new segment of the trend."""
    return {"version.probe": probe_path().parent.name.removeprefix("probe-")}


def _version(compiler: str) -> bytes:
    try:
        return subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{compiler} does not run: {error}", remedy="apt-get install gcc libc6-dev") from error


def _compile(compiler: str, sources: list[Path], target: Path) -> None:
    command = [compiler, *FLAGS, "-o", str(target), *map(str, sources)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if result.returncode == 0:
        return
    if "-lc" in result.stderr or "libc.a" in result.stderr:
        raise BuildError("the probe cannot be linked statically: libc.a is missing", remedy="apt-get install libc6-dev")
    raise BuildError(f"the probe does not compile with {compiler}:\n{result.stderr[-2000:]}")
