"""What a private libvirtd leaves of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.daemons import libvirt

if TYPE_CHECKING:
    from pathlib import Path


def test_what_one_that_was_ended_while_it_starts_leaves(tmp_path: Path) -> None:
    """The file with its pid, and sockets nobody answers: gone with it. Logs stay, for whoever asks why."""
    for name in ("sockets/libvirtd.pid", "sockets/libvirt-sock", "run/libvirt/x", "var/log/libvirt/qemu.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    libvirt.clean(tmp_path)
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()] == [
        "var/log/libvirt/qemu.log"
    ]
