"""Builds the null kernel with the system's compiler, once per content (x86-64 only: it is multiboot code)."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

from isobench.core.errors import Unavailable
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.probe.build import compiled, compiler

SOURCE, LAYOUT = (Path(__file__).with_name(f"nullkernel.{ending}") for ending in ("S", "ld"))
FLAGS = ("-m32", "-nostdlib", "-static", "-no-pie", "-ffreestanding", "-Wl,--build-id=none,-n")
"""32-bit, because multiboot starts in protected mode; without a page for the headers (-n)."""


@cache
def null_kernel() -> Path:
    """The ELF file. Raises `Unavailable` on another architecture, `BuildError` if it cannot be built."""
    if platform.machine() not in ("x86_64", "i686"):
        raise Unavailable("the null kernel is multiboot code for x86-64 only")
    words = compiler()
    key = content_hash([SOURCE.read_bytes(), LAYOUT.read_bytes(), " ".join(FLAGS).encode()])
    return cached("nullkernel", key, lambda folder: _build(words, folder / "nullkernel")) / "nullkernel"


def _build(words: list[str], target: Path) -> None:
    compiled(words, *FLAGS, "-T", str(LAYOUT), "-o", str(target), str(SOURCE), what="the null kernel")
