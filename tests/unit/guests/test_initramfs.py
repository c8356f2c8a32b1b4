"""The guest's initramfs, read by what knows nothing of how it was written."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from isobench.guests import initramfs
from isobench.guests.kernel import Kernel


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> mode and content, out of a cpio archive of the format "newc" (man 5 cpio)."""
    found, at = {}, 0
    while at < len(archive):
        if not archive[at]:  # zeros between two archives
            at += 1
            continue
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        content = (at + 110 + length + 3) // 4 * 4
        found[name] = (mode, archive[content : content + size])
        at = (content + size + 3) // 4 * 4
    return found


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A kernel with a module that wants two others, one of them compressed, and one that is built in."""
    folder = tmp_path / "lib/modules/6.1"
    (folder / "kernel").mkdir(parents=True)
    (folder / "modules.dep").write_text(
        "kernel/disk.ko: kernel/ring.ko.xz kernel/bus-core.ko\n"
        "kernel/ring.ko.xz: kernel/bus-core.ko\n"
        "kernel/bus-core.ko:\n"
    )
    (folder / "modules.builtin").write_text("kernel/fs/ext4.ko\n")
    (folder / "kernel/disk.ko").write_bytes(b"disk")
    (folder / "kernel/bus-core.ko").write_bytes(b"bus")
    (folder / "kernel/ring.ko.xz").write_bytes(lzma.compress(b"ring"))
    return Kernel(image=tmp_path / "vmlinuz", version="6.1", modules=folder, origin="a test")


def test_the_archive_is_what_a_kernel_unpacks(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe as init, a console, plain modules in their order, and the arguments in an archive behind it."""
    probe = tmp_path / "probe"
    probe.write_bytes(b"the probe")
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(initramfs, "guest_kernel", lambda: kernel)
    monkeypatch.setattr(initramfs, "probe_path", lambda: probe)
    monkeypatch.setattr(initramfs, "MODULES", ("disk", "ext4"))
    initramfs.initramfs.cache_clear()
    try:
        initramfs.with_arguments(tmp_path / "archive", ("fio", "--name=x y"))
    finally:
        initramfs.initramfs.cache_clear()
    found = entries((tmp_path / "archive").read_bytes())
    assert found["init"] == (0o100755, b"the probe")
    assert found["dev/console"][0] == 0o020600
    assert found["modules.list"][1].decode().split() == [
        f"/modules/{n}" for n in ("bus-core.ko", "ring.ko.xz", "disk.ko")
    ]
    assert found["modules/ring.ko.xz"][1] == b"ring"
    assert found["arguments"][1] == b"fio\0--name=x y\0"
