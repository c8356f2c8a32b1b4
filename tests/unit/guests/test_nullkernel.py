"""The null kernel as a loader sees it."""

from __future__ import annotations

import struct

from isobench.guests.nullkernel import null_kernel

_MIB = 1 << 20


def test_a_loader_copies_the_code_and_nothing_else() -> None:
    """Multiboot loaders copy everything from the lowest to the highest address, whatever lies in between: a build id at
    128 MiB made each guest copy 127 MiB at its start."""
    elf = null_kernel().read_bytes()
    entry, headers = struct.unpack_from("<II", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 42)
    loaded = []
    for number in range(count):
        kind, _, _, physical, _, length = struct.unpack_from("<6I", elf, headers + number * size)
        if kind == 1:  # PT_LOAD (elf(5))
            loaded.append((physical, physical + length))
    assert min(loaded)[0] == _MIB
    assert max(end for _, end in loaded) < _MIB + 4096
    assert _MIB <= entry < _MIB + 4096


def test_the_multiboot_header_is_in_the_first_8_kib() -> None:
    assert struct.pack("<I", 0x1BADB002) in null_kernel().read_bytes()[:8192]
