"""Builds the null kernel with the system's compiler, once per content (x86-64 only: it is multiboot code)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from bench.cache import cached
from bench.errors import BuildError, Unavailable
from bench.paths import content_hash

SOURCE = Path(__file__).with_name("nullkernel.S")
FLAGS = (
    "-m32",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-ffreestanding",
    "-Wl,-Ttext=0x100000,-z,max-page-size=4096,-estart",
)
"""Linked at 1 MiB, where multiboot loaders put a kernel; 32-bit, because multiboot starts in protected mode."""


@cache
def null_kernel() -> Path:
    """The ELF file. Raises `Unavailable` on another architecture, `BuildError` where it cannot be built."""
    if platform.machine() not in ("x86_64", "i686"):
        raise Unavailable("the null kernel is multiboot code for x86-64")
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BuildError("no C compiler found", remedy="apt-get install gcc libc6-dev")
    key = content_hash([SOURCE.read_bytes(), " ".join(FLAGS).encode()])
    return cached("nullkernel", key, lambda folder: _build(compiler, folder / "nullkernel")) / "nullkernel"


def _build(compiler: str, target: Path) -> None:
    command = [compiler, *FLAGS, "-o", str(target), str(SOURCE)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode != 0:
        raise BuildError(f"the null kernel cannot be built:\n{result.stderr[-1000:]}", remedy="apt-get install gcc")
