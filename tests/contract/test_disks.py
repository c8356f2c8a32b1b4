"""Disks of real guests: each way boots from what it made, takes what other tools say, and leaves nothing, whatever goes
wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isobench.cells.cell import measured
from isobench.contracts.launch import of_disk
from isobench.core import deadlines
from isobench.images.kinds import composition_of_kind, root_of_kind
from isobench.lifecycle import leftovers
from isobench.planning import catalog
from isobench.processes.accounting import pids_with
from isobench.scenarios.disk import INSTANCES, OwnDisk
from tests.busy import soon
from tests.conftest import STRICT
from tests.contract.opening import GUEST, inner, opened

pytestmark = [pytest.mark.root, pytest.mark.libvirt]

KIND = "distroless"


def there(sandbox: Any) -> list[str]:
    """What is in the folder of a sandbox's disks."""
    return sorted(file.suffix for file in (inner(sandbox)._workdir / "disks").iterdir())


def allocated(file: Path) -> int:
    """The bytes of a file's blocks, by du."""
    words = ["du", "--block-size=1", str(file)]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0])


def info(file: Path) -> dict[str, Any]:
    words = ["qemu-img", "info", "--output=json", str(file)]
    found: dict[str, Any] = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return found


@pytest.fixture(scope="module")
def box() -> Iterator[Any]:
    """The sandbox of a guest; in the end it has no disk but those that others are made from."""
    with opened(GUEST) as sandbox:
        yield sandbox
        assert set(there(sandbox)) <= {".raw"}


@pytest.mark.parametrize("way", ["copy", "qcow2"])
def test_every_cost_is_taken_of_a_disk(box: Any, way: str) -> None:
    """Twice: what one cell made is no longer there for the next. A copy takes at least the files; a qcow2 grows."""
    scenario = OwnDisk(KIND, way)
    assert scenario.lacks() is None
    facts = scenario.facts(box)
    for _ in range(2):
        values = scenario.measure(box)
        assert set(values) == {metric.name for metric in scenario.metrics}
        assert values["first-byte"] == values["make-tenth"] + values["start"]
        if way == "copy":
            assert composition_of_kind(KIND).bytes < values["disk"] <= values["disk-used"]
            assert values["disk"] < int(facts["size"]) / 4  # the holes take nothing; XFS allocates some blocks ahead
        else:
            assert 0 < values["disk"] < values["disk-used"] < composition_of_kind(KIND).bytes
        assert there(box) == [".raw"]
    assert int(facts["size"]) > int(facts["source"]) > composition_of_kind(KIND).bytes


@pytest.mark.parametrize("way", ["copy", "qcow2"])
def test_a_guest_has_just_this_disk_and_writes_to_it_alone(box: Any, way: str) -> None:
    """By QEMU's command line, by qemu-img and by du; what it was made from is as it was."""
    disks = box.disks()
    source = disks.source(root_of_kind(KIND))
    one, other = disks.make(source, way), disks.make(source, way)
    files = (one.file, other.file, source)
    os.sync()  # a file's blocks may change while it is written back
    before = [(file.stat().st_mtime_ns, file.stat().st_blocks) for file in files]
    with box.launch(of_disk(one)) as instance:
        (qemu,) = [pid for pid, role in instance.host_pids().items() if role == "payload"]
        told = Path(f"/proc/{qemu}/cmdline").read_bytes().decode()
        assert str(one.file) in told and str(other.file) not in told
        assert ('"driver":"qcow2"' in told) == (way == "qcow2")  # newer versions of libvirt name no driver of raw ones
        assert instance.stdout.readline() == b"ready\n"
        assert instance.wait() == 0
    os.sync()
    after = [(file.stat().st_mtime_ns, file.stat().st_blocks) for file in files]
    assert [was == now for was, now in zip(before, after, strict=True)] == [False, True, True]
    assert disks.own_bytes(one) == allocated(one.file) == info(one.file)["actual-size"]
    assert info(one.file).get("full-backing-filename") == (str(source) if way == "qcow2" else None)
    disks.clear()


def test_a_disk_without_the_program_fails_the_cell(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest's own probe does not stand in for it; the next cell gives values."""
    disks = inner(box).disks()
    make = disks.make

    def without(source: Path, way: str) -> Any:
        disk = make(source, way)
        subprocess.run(["debugfs", "-w", "-R", "rm /probe", str(disk.file)], check=True, capture_output=True)
        return disk

    with monkeypatch.context() as patch:
        patch.setattr(disks, "make", without)
        failed = measured(OwnDisk(KIND, "copy"), box)
    assert failed.failure is not None and "/probe: No such file or directory" in failed.failure and not failed.values
    assert there(box) == [".raw"]
    assert measured(OwnDisk(KIND, "qcow2"), box).failure is None


def test_a_folder_without_room_fails_the_cell() -> None:
    """On a real file system that is too small for ten copies: the ones that had room are gone as well."""
    with opened(GUEST) as sandbox:
        folder = inner(sandbox)._workdir / "disks"
        folder.mkdir(mode=0o711)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=711", "none", str(folder)], check=True)
        try:
            failed = measured(OwnDisk(KIND, "copy"), sandbox)
            assert failed.failure is not None and "No space left on device" in failed.failure and not failed.values
            assert there(sandbox) == [".raw"]
        finally:
            subprocess.run(["umount", str(folder)], check=True)


HARNESS = """
import time
from isobench.contracts.launch import of_disk
from isobench.images.kinds import root_of_kind
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from tests.contract.opening import GUEST, learn_this_host
learn_this_host()
with workspace(new_run_id(), catalog.sweep) as workdir:
    (workdir / GUEST).mkdir(mode=0o711)
    with catalog.environments()[GUEST].open(workdir / GUEST) as sandbox:
        disks = sandbox.disks()
        source = disks.source(root_of_kind("distroless"))
        disks.make(source, "copy")
        with sandbox.launch(of_disk(disks.make(source, "qcow2"))):
            print(workdir, flush=True)
            time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_disks_are_gone_with_their_run(number: signal.Signals) -> None:
    """After Ctrl-C at once, after kill -9 with `clean`; and so is the guest that has one."""
    command = [sys.executable, "-c", HARNESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as harness:
        assert harness.stdout is not None
        workdir = Path(harness.stdout.readline().strip())
        assert len(list((workdir / GUEST / "disks").iterdir())) == 3
        harness.send_signal(number)
        harness.wait(timeout=deadlines.stretched(120))
    if number == signal.SIGKILL:
        assert workdir.exists()
        assert [line for line in leftovers.clean(catalog.sweep) if "not cleaned" in line] == []
    assert not workdir.exists() and soon(lambda: pids_with(workdir.name) == [])


MAKERS = {"xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"), "btrfs": ("mkfs.btrfs", "-q")}


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A work folder on a new file system that shares blocks, in a file."""
    known = Path("/proc/filesystems").read_text().split()
    maker = next((words for kind, words in MAKERS.items() if kind in known and shutil.which(words[0])), None)
    if maker is None:  # provisioning installs mkfs.btrfs, so only the kernel may lack it
        can = STRICT and "btrfs" in known
        (pytest.fail if can else pytest.skip)("neither XFS nor Btrfs can be made and mounted here: no reflinks")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="reflink-") as name:
        Path(name).chmod(0o755)
        image, folder = Path(name, "image"), Path(name, "work")
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run([*maker, str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
        monkeypatch.setenv("ISOBENCH_WORK", str(folder))
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)


def free(folder: Path) -> int:
    """The free bytes of a file system, after everything is on it."""
    os.sync()
    found = os.statvfs(folder)
    return found.f_bfree * found.f_frsize


def test_reflinks_share_what_copies_do_not(sharing: Path) -> None:
    """By the free bytes of the file system, which is what ten of each have really taken; what is written to one is its
    own. No guest boots from them: a private libvirtd does not see a file system that is mounted after its start."""
    with opened(GUEST) as sandbox:
        assert OwnDisk(KIND, "reflink").lacks() is None
        disks = sandbox.disks()  # type: ignore[attr-defined]
        source = disks.source(root_of_kind(KIND))
        taken, own = {}, {}
        for way in ("reflink", "copy"):
            before = free(sharing)
            made = [disks.make(source, way) for _ in range(INSTANCES)]
            taken[way] = before - free(sharing)
            own[way] = sum(disks.own_bytes(one) or 0 for one in made)
            if way == "reflink":
                with made[-1].file.open("r+b") as file:
                    file.write(os.urandom(1 << 20))
                    os.fsync(file.fileno())
                assert 1 << 20 <= disks.own_bytes(made[-1]) < 2 << 20
            disks.clear()
        whole = composition_of_kind(KIND).bytes
        assert own["reflink"] < own["copy"] / 100  # XFS has a block per file for the places of many extents
        assert taken["reflink"] < whole / 2
        assert own["copy"] > INSTANCES * whole and taken["copy"] == pytest.approx(own["copy"], rel=0.1)
