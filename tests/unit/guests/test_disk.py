"""An instance's own disk: how it is made, by programs of this host, and which of its blocks are its own."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from isobench.contracts.disks import WAYS
from isobench.core.errors import MeasurementError
from isobench.guests import disk

DATA, SIZE = 1 << 20, 64 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A raw disk with a MiB of data in the middle of nothing."""
    file = tmp_path / "a source"
    with file.open("wb") as raw:
        raw.truncate(SIZE)
        raw.seek(SIZE // 2)
        raw.write(os.urandom(DATA))
    return file


def blocks(file: Path) -> int:
    return file.stat().st_blocks * 512


def test_a_copy_has_the_same_content_and_keeps_the_holes(source: Path, tmp_path: Path) -> None:
    """A file system may allocate some blocks ahead, as XFS does."""
    made = disk.make_disk("copy", source, tmp_path / "one")
    assert made == (tmp_path / "one", "raw")
    assert made.file.stat().st_size == SIZE and DATA <= blocks(made.file) < SIZE // 4
    assert subprocess.run(["cmp", str(source), str(made.file)], check=False).returncode == 0
    assert disk.own_bytes(made.file) == blocks(made.file)


@pytest.mark.tool("qemu-img")
def test_a_qcow2_has_the_source_behind_it(source: Path, tmp_path: Path) -> None:
    """By the word of qemu-img, and with nothing of the data in it."""
    made = disk.make_disk("qcow2", source, tmp_path / "one")
    said = json.loads(subprocess.run(["qemu-img", "info", "--output=json", made.file], capture_output=True).stdout)
    assert made.format == said["format"] == "qcow2" and said["virtual-size"] == SIZE
    assert said["full-backing-filename"] == str(source) and said["backing-filename-format"] == "raw"
    assert blocks(made.file) < DATA // 2 and disk.own_bytes(made.file) == blocks(made.file) == said["actual-size"]


def test_a_reflink_is_made_or_it_is_said_why_it_cannot_be(source: Path, tmp_path: Path) -> None:
    """What is said beforehand is what happens; tests/contract/test_disks.py has a file system that can."""
    why = disk.why_no_reflink(tmp_path)
    if why:
        assert why.startswith(f"the file system of {tmp_path} cannot share blocks (reflink): ")
        with pytest.raises(MeasurementError, match=r"failed to clone|not supported"):
            disk.make_disk("reflink", source, tmp_path / "one")
    else:
        made = disk.make_disk("reflink", source, tmp_path / "one")
        assert subprocess.run(["cmp", str(source), str(made.file)], check=False).returncode == 0


def test_files_that_are_shared_leave_no_more_than_they_were(tmp_path: Path) -> None:
    """What is tried leaves no file; a folder that cannot be written is a reason as well."""
    disk.why_no_reflink(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "No such file" in disk.why_no_reflink(tmp_path / "none")


TOLD = """\
Filesystem type is: 58465342
File size of {file} is 67108864 (65536 blocks of 1024 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..     255:       2048..      2303:    256:             shared
   1:     1024..    1031:       9000..      9007:      8:       3072:
   2:    32768..   33023:      10000..     10255:    256:      40744: last,shared,eof
{file}: 3 extents found
"""


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """A file system that shares blocks, whose filefrag says this, or that has none."""

    def say(told: str | None) -> None:
        monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)
        monkeypatch.setattr(disk, "find", lambda name: None if told is None else f"/sbin/{name}")
        monkeypatch.setattr(disk, "output", lambda words, seconds: told)

    return say


def test_blocks_that_others_share_are_not_its_own(source: Path, sharing: Callable[[str | None], None]) -> None:
    """Also where none is left; without the tool nothing is known."""
    whole = blocks(source)
    sharing(TOLD.format(file="a: shared file"))
    assert disk.own_bytes(source) == whole - (512 << 10)
    sharing(TOLD.replace("256:", "999999:"))
    assert disk.own_bytes(source) == 0
    sharing("0 extents found")
    assert disk.own_bytes(source) == whole
    sharing(None)
    assert disk.own_bytes(source) is None


@pytest.mark.parametrize("way", WAYS)
def test_what_the_tool_says_is_the_reason(way: str, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="No such file or directory"):
        disk.make_disk(way, tmp_path / "none", tmp_path / "one")


def test_a_disk_that_has_no_room_says_so(source: Path) -> None:
    """On the device that is always full."""
    with pytest.raises(MeasurementError, match="No space left on device"):
        disk.make_disk("copy", source, Path("/dev/full"))


def test_every_way_has_a_command() -> None:
    assert list(disk._WAYS) == list(WAYS) and all(disk.command_of(way).endswith("DISK") for way in WAYS)
