"""What a program is given besides its files: devices that it can open."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from isobench.core.errors import MeasurementError
from isobench.environments.native import _furnished
from isobench.environments.native._furnished import make_devices, mount_dev
from isobench.filesystem.mounts import mounted_below, remove_tree


@pytest.mark.root
def test_devices_can_be_opened_wherever_the_work_folder_is(tmp_path: Path) -> None:
    """Below a file system that is mounted with nodev they are on a tmpfs, which goes with the folder."""
    usual, hardened = tmp_path / "usual", tmp_path / "hardened"
    for place, option in ((usual, "dev"), (hardened, "nodev")):
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", option, "none", str(place)], check=True)
    try:
        for place in (usual, hardened):
            folder = place / "dev"
            folder.mkdir()
            mount_dev(folder)
            make_devices(folder)
            (folder / "null").write_text("x")
            assert mounted_below(folder) == ([str(folder)] if place == hardened else [])
    finally:
        assert [left for place in (usual, hardened) for left in remove_tree(place)] == []


def test_without_the_right_to_mount_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: object) -> str:
        raise MeasurementError("permission denied")

    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_flag=os.ST_NODEV))
    monkeypatch.setattr(_furnished, "output", refused)
    with pytest.raises(MeasurementError, match="mounted with nodev, nor a tmpfs: permission denied") as told:
        mount_dev(tmp_path)
    assert told.value.remedy
