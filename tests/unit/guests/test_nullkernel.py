"""The null kernel as a loader sees it."""

from __future__ import annotations

import platform
import struct

import pytest

from isobench.core.errors import Unavailable
from isobench.guests.nullkernel import null_kernel

_PLACE = {"x86_64": 0x100000, "aarch64": 0x40200000}
"""Where its code lies in the guest's memory."""
_HEADERS = {1: ("<II", 24, "<HH", 42, "<IIIIII", 3, 5), 2: ("<QQ", 24, "<HH", 54, "<IIQQQQQ", 4, 6)}
"""elf(5), by class: entry and program headers, their size and number; a header, its physical address, its length in
memory."""


def test_a_loader_copies_the_code_and_nothing_else() -> None:
    """Loaders copy everything from the lowest to the highest address, whatever lies in between: a build id at 128 MiB
    made each guest copy 127 MiB at its start."""
    elf = null_kernel().read_bytes()
    start, start_at, sizes, sizes_at, header, physical, length = _HEADERS[elf[4]]
    entry, headers = struct.unpack_from(start, elf, start_at)
    size, count = struct.unpack_from(sizes, elf, sizes_at)
    found = [struct.unpack_from(header, elf, headers + number * size) for number in range(count)]
    loaded = [(one[physical], one[physical] + one[length]) for one in found if one[0] == 1]  # PT_LOAD
    place = _PLACE[platform.machine()]
    assert min(loaded)[0] == place
    assert max(end for _, end in loaded) < place + 4096
    assert place <= entry < place + 4096


@pytest.mark.skipif(platform.machine() != "x86_64", reason="multiboot is of x86-64")
def test_the_multiboot_header_is_in_the_first_8_kib() -> None:
    assert struct.pack("<I", 0x1BADB002) in null_kernel().read_bytes()[:8192]


def test_another_architecture_is_a_skip_that_names_those_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    null_kernel.cache_clear()
    with pytest.raises(Unavailable, match="x86_64 and aarch64, not for riscv64"):
        null_kernel()
    null_kernel.cache_clear()
