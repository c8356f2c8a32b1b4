"""The disk beneath a folder: the whole one, never a partition; a file system without one has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isobench.core.errors import Unavailable
from isobench.resources import disks


@pytest.fixture
def number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The device number of `tmp_path`, whose kernel's folder a test makes."""
    (tmp_path / "block").mkdir()
    monkeypatch.setattr(disks, "_BLOCK", tmp_path / "block")
    device = tmp_path.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def _device(folder: Path, number: str, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / "dev").write_text(f"{number}\n")
    (folder / "uevent").write_text(f"MAJOR=8\nDEVNAME={name}\nDEVTYPE=disk\n")


def test_a_disk_without_partitions(tmp_path: Path, number: str) -> None:
    _device(tmp_path / "block" / number, number, "vda")
    assert disks.disk_beneath(tmp_path) == (number, "/dev/vda")


def test_the_disk_of_a_partition(tmp_path: Path, number: str) -> None:
    disk = tmp_path / "sys" / "sda"
    _device(disk, "8:0", "sda")
    _device(disk / "sda2", number, "sda2")
    (disk / "sda2" / "partition").write_text("2\n")
    (tmp_path / "block" / number).symlink_to(disk / "sda2")
    assert disks.disk_beneath(tmp_path) == ("8:0", "/dev/sda")


def test_a_file_system_without_a_disk(tmp_path: Path, number: str) -> None:
    with pytest.raises(Unavailable, match=rf"lies on no disk of its own \(device {number}\)"):
        disks.disk_beneath(tmp_path)
    with pytest.raises(Unavailable, match="none is not known: No such file"):
        disks.disk_beneath(tmp_path / "none")
