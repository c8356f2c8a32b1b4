"""What a guest loads, as modprobe would: checked against kmod's own modprobe where this host has one."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.core.errors import BuildError, Unavailable
from isobench.guests.kernel import Kernel, guest_kernel, has_guest_kernel
from isobench.guests.modules import content, modules_of
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Callable


def kernel(folder: Path, **lists: str) -> Kernel:
    """A kernel whose lists say this; `builtin_modinfo` has a line for each entry."""
    there = folder / "lib/modules/6.12"
    there.mkdir(parents=True)
    for name, text in lists.items():
        text = text.replace("\n", "\0") if name == "builtin_modinfo" else text
        (there / f"modules.{name.replace('_', '.')}").write_text(text)
    return Kernel(image=folder / "vmlinuz", version="6.12", modules=there, origin="a test")


def wanted(there: Kernel, *names: str) -> list[str]:
    """The files' names in their order, a dash before an optional one."""
    return [f"{'-' if m.optional else ''}{m.file.name}" for m in modules_of(there, names)]


DEBIAN_13 = {
    "dep": "kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz\n"
    "kernel/fs/jbd2/jbd2.ko.xz:\nkernel/lib/crc16.ko.xz:\nkernel/fs/mbcache.ko.xz:\n"
    "kernel/crypto/crc32c_generic.ko.xz:\nkernel/arch/x86/crypto/crc32c-intel.ko.xz:\n",
    "softdep": "softdep ext4 pre: crypto-crc32c\nsoftdep jbd2 pre: crypto-crc32c\n",
    "alias": "alias crypto-crc32c crc32c_intel\nalias crypto-crc32c crc32c_generic\nalias fs-ext4 ext4\n",
}


def test_what_is_asked_for_by_another_name_while_it_runs_is_loaded_before(tmp_path: Path) -> None:
    """ext4 of Debian 13 asks for crc32c: all drivers of it are packed, and any may refuse (a CPU without SSE 4.2)."""
    there = kernel(tmp_path, **DEBIAN_13)
    crc = ["-crc32c-intel.ko.xz", "-crc32c_generic.ko.xz"]
    assert wanted(there, "ext4") == [*crc, "jbd2.ko.xz", "mbcache.ko.xz", "crc16.ko.xz", "ext4.ko.xz"]
    assert wanted(there, "fs-ext4") == wanted(there, "ext4")
    assert wanted(there, "ext4", "crc32c-generic")[:2] == [crc[0], "crc32c_generic.ko.xz"]


def test_what_is_built_in_satisfies_a_name(tmp_path: Path) -> None:
    """By its own name, and by one that it goes by; and built-in code may want a module."""
    lists = {**DEBIAN_13, "builtin": "kernel/crypto/crc32c_generic.ko\n"}
    modinfo = "crc32c_generic.alias=crypto-crc32c\next4.softdep=pre: crypto-sha9\nmain.parmtype=x:bool\n"
    assert wanted(kernel(tmp_path / "a", **lists, builtin_modinfo=modinfo), "jbd2") == ["jbd2.ko.xz"]
    builtin = kernel(
        tmp_path / "b",
        dep="kernel/sha9.ko:\n",
        alias="alias crypto-sha9 sha9\n",
        builtin="kernel/ext4.ko\n",
        builtin_modinfo=modinfo,
    )
    assert wanted(builtin, "ext4") == ["-sha9.ko"]


def test_soft_dependencies_may_go_in_a_circle_or_nowhere(tmp_path: Path) -> None:
    """Also one behind, and one that this kernel does not have."""
    there = kernel(
        tmp_path,
        dep="a.ko:\nb.ko:\nc.ko:\n",
        softdep="softdep a pre: b none post: c\nsoftdep b pre: a\nsoftdep c post: a",
    )
    assert wanted(there, "a") == ["-b.ko", "a.ko", "-c.ko"]


def test_a_name_that_the_kernel_does_not_have_is_told(tmp_path: Path) -> None:
    """And so are lists that are not there."""
    with pytest.raises(Unavailable, match=r"6\.12 has no module zfs"):
        modules_of(kernel(tmp_path / "a", dep=""), ("zfs",))
    with pytest.raises(BuildError, match=r"modules\.dep: No such file") as told:
        modules_of(kernel(tmp_path / "b"), ("ext4",))
    assert told.value.remedy == "depmod 6.12"


@pytest.mark.tool("modprobe")
@pytest.mark.parametrize("names", [("virtio_pci", "virtio_blk", "ext4"), ("virtio_scsi", "sd_mod"), ("virtio_net",)])
def test_modprobe_says_the_same(names: tuple[str, ...]) -> None:
    """Of the kernel that guests boot here: the same files in the same order."""
    if not has_guest_kernel():
        pytest.skip("no kernel for guests")
    there = guest_kernel()
    root = there.modules.parents[2]
    modprobe = [find("modprobe") or "", "-d", str(root), "-S", there.version, "-C", "/dev/null", "-a", "--show-depends"]
    said = subprocess.run([*modprobe, *names], capture_output=True, text=True, check=True).stdout
    loaded = [line.split()[1] for line in said.splitlines() if line.startswith("insmod ")]
    assert [m.file.resolve() for m in modules_of(there, names)] == [Path(f).resolve() for f in dict.fromkeys(loaded)]


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_a_module_is_unpacked_or_told(tmp_path: Path, suffix: str) -> None:
    """One that is not what its name says, or cut off, is named."""
    file = tmp_path / f"m.ko.{suffix}"
    packers: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "xz": lzma.compress}
    packed = packers.get(suffix)
    if packed is not None:
        file.write_bytes(packed(b"module"))
        assert content(file) == b"module"
        file.write_bytes(packed(b"module")[:-5])
        with pytest.raises(BuildError, match=r"m\.ko"):
            content(file)
    for damaged in (b"module", b""):
        file.write_bytes(damaged)
        with pytest.raises(BuildError, match=r"m\.ko"):
            content(file)


@pytest.mark.tool("zstd")
def test_zstd_is_unpacked(tmp_path: Path) -> None:
    """As Ubuntu packs its modules."""
    (tmp_path / "m.ko").write_bytes(b"module" * 100)
    subprocess.run(["zstd", "-q", "m.ko"], cwd=tmp_path, check=True)
    assert content(tmp_path / "m.ko.zst") == b"module" * 100
