"""Builds the null kernel with the system's compiler, once per content."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

from isobench.core.errors import Unavailable
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.probe.build import compiled, compiler

_MODES = {"x86_64": ("-m32",), "aarch64": ()}
"""Architecture -> the compiler's options for the mode in which its loader starts a kernel: multiboot in 32 bits."""
_FLAGS = ("-nostdlib", "-static", "-no-pie", "-ffreestanding", "-Wl,--build-id=none,-n")
"""Without a page for the headers (-n)."""


@cache
def null_kernel() -> Path:
    """The ELF file. Raises `Unavailable` on an architecture that it is not written for, `BuildError` if it cannot be
    built."""
    machine = platform.machine()
    if machine not in _MODES:
        raise Unavailable(f"the null kernel is written for {' and '.join(_MODES)}, not for {machine}")
    words, flags = compiler(), (*_MODES[machine], *_FLAGS)
    source, layout = (Path(__file__).with_name(f"nullkernel-{machine}.{ending}") for ending in ("S", "ld"))
    key = content_hash([source.read_bytes(), layout.read_bytes(), " ".join(flags).encode()])

    def build(folder: Path) -> None:
        target = str(folder / "nullkernel")
        compiled(words, *flags, "-T", str(layout), "-o", target, str(source), what="the null kernel")

    return cached("nullkernel", key, build) / "nullkernel"
