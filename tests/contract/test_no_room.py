"""What an instance was given before it came to be is taken away where it never came to be: no room, no start."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from isobench.contracts.answers import answers
from isobench.contracts.launch import idle, working
from isobench.core.errors import MeasurementError
from isobench.environments.docker import _stored
from isobench.environments.libvirt import _sandbox as guests
from isobench.environments.native import _sandbox as rungs
from isobench.images import lower
from isobench.processes.accounting import children, pids_with
from tests.contract.opening import GUEST, inner, opened

pytestmark = pytest.mark.root

COPY_UP = working("copyup", disk=True, lower=True, timeout=60)


def no_room(target: Path, *_: object) -> None:
    """Write a part of a file, as a copy does on a disk that is full."""
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"part")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_copy_that_had_no_room_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real file system that is too small: nothing of it stays, and with room the copied-up file is a whole one."""
    monkeypatch.setattr(rungs, "_OPTIONS", "size=50m,mode=755")
    with opened("process-tmpfs") as sandbox:
        data = inner(sandbox).data_folder()
        with (
            pytest.raises(OSError, match="No space left"),
            sandbox.launch(COPY_UP),
        ):
            pass
        assert list(data.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=512m", str(data)], check=True)
        with sandbox.launch(COPY_UP) as instance:
            answers(instance)
            sizes = {file.name: file.stat().st_size for file in (data / "lower").iterdir()}
        assert sizes == lower.SIZES and list(data.iterdir()) == [data / "lower"]


@pytest.mark.parametrize("name", ["process", "handmade"])
def test_a_rung_that_does_not_start_leaves_no_folder(name: str) -> None:
    """Its data and its overlay's upper layer go at once, and not with the run."""
    with opened(name) as sandbox:
        data = inner(sandbox).data_folder()
        (data.parent / "probe").unlink()
        before = sorted([*data.iterdir(), *data.parent.parent.iterdir()])
        with pytest.raises(MeasurementError, match="exec"), sandbox.launch(idle(timeout=30)):
            pass
        assert sorted([*data.iterdir(), *data.parent.parent.iterdir()]) == before


@pytest.mark.libvirt
def test_a_guest_whose_disk_has_no_room_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the part of the disk that there was room for, nor what was to lie beside it."""
    with opened(GUEST) as sandbox:
        monkeypatch.setattr(guests, "copy_disk", no_room)
        with (
            pytest.raises(OSError, match="No space left"),
            sandbox.launch(working("fio", "null", "1", disk=True, timeout=60)),
        ):
            pass
        work = inner(sandbox)._workdir
        assert [entry for entry in work.iterdir() if entry.name.isdigit()] == []


@pytest.mark.docker
def test_a_container_whose_storage_has_no_room_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, and no process that waits for the end of a network which was never there."""
    with opened("docker-bind") as sandbox:
        inner(sandbox)._lower_image()
        before = children(os.getpid())
        monkeypatch.setattr(_stored, "copy_lower", no_room)
        with (
            pytest.raises(OSError, match="No space left"),
            sandbox.launch(COPY_UP),
        ):
            pass
        work = inner(sandbox)._workdir
        assert [entry for entry in work.iterdir() if entry.is_dir()] == []
        assert set(children(os.getpid())) & set(pids_with("netns")) <= set(before)
