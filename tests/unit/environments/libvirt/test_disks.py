"""Disks for guests: their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isobench.contracts.disks import WAYS, Disk
from isobench.environments.libvirt import _disks

LOOKED_AT = re.compile(r".*\.(img|raw|qcow2?)|disk(\..*)?")
"""The names of files at which virt-aa-helper may look, wherever they are (libvirt's usr.lib.libvirt.virt-aa-helper)."""


def test_a_disk_and_what_it_is_made_from_are_found_by_virt_aa_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens a qcow2 disk and its backing file, and grants a guest what it has found; a raw disk needs no look."""

    def made(way: str, source: Path, target: Path) -> Disk:
        target.touch()
        return Disk(target, "qcow2" if way == "qcow2" else "raw")

    monkeypatch.setattr(_disks, "copy_disk", lambda target, root: target.touch())
    monkeypatch.setattr(_disks, "make_disk", made)
    monkeypatch.setattr(_disks, "give_to_qemu", lambda file: None)
    monkeypatch.setattr(_disks, "identity", lambda root: "abc")
    disks = _disks.GuestDisks(tmp_path)
    source = disks.source(tmp_path)
    ways = {way: disks.make(source, way) for way in WAYS}
    assert LOOKED_AT.fullmatch(source.name)
    assert [
        one.file.name for one in ways.values() if one.format != "raw" and not LOOKED_AT.fullmatch(one.file.name)
    ] == []
    disks.clear()
    assert list((tmp_path / "disks").iterdir()) == [source]
