"""Disks: what is made in which order, what is timed, and what is left when it fails."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isobench.cells.cell import TimedSandbox
from isobench.contracts.capabilities import MakesDisks
from isobench.contracts.disks import DISK_KINDS, WAYS, Disk
from isobench.contracts.launch import Launch
from isobench.core.errors import BuildError, MeasurementError
from isobench.guests import disk as guests
from isobench.images import kinds
from isobench.planning import catalog
from isobench.scenarios import disk
from isobench.scenarios.disk import INSTANCES, SCENARIOS, OwnDisk
from tests.fake import FakeInstance, SayingSandbox

SLIM = OwnDisk("slim", "qcow2")


class FakeDisks:
    """Every disk takes a second more than the one before, on a clock of its own, and its own number of bytes."""

    def __init__(self, fails: str = "", own: int | None = 1000) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.there: list[Disk] = []
        self._fails, self._own = fails, own

    def monotonic(self) -> float:
        return self.now

    def _do(self, what: str) -> None:
        self.asked.append(what)
        if what == self._fails:
            raise MeasurementError("no space left on device")

    def source(self, root: Path) -> Path:
        return Path(__file__)

    def make(self, source: Path, way: str) -> Disk:
        self._do(f"make {way}")
        self.now += len(self.there) + 1
        self.there.append(Disk(Path(f"{len(self.there) + 1}.{way}"), way))
        return self.there[-1]

    def own_bytes(self, disk: Disk) -> int | None:
        self._do(f"own {disk.file}")
        return self._own

    def remove(self, disk: Disk) -> None:
        self._do(f"remove {disk.file}")
        self.now += 0.25
        self.there.remove(disk)

    def clear(self) -> None:
        self._do("clear")
        self.there.clear()


class FakeSandbox:
    """Of guests that send this first."""

    def __init__(self, made: FakeDisks, said: bytes = b"ready\r\n") -> None:
        self._disks, self._said = made, said
        self.launched: list[Launch] = []

    def disks(self) -> FakeDisks:
        return self._disks

    def daemons(self) -> list[int]:
        return []

    def facts(self) -> Mapping[str, str]:
        return {}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[FakeInstance]:
        self.launched.append(launch)
        instance = FakeInstance(0.5)
        instance.stdout = io.BytesIO(self._said)
        yield instance


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody makes the files of the kinds."""
    monkeypatch.setattr(kinds, "root_of_kind", lambda name: Path(f"/cache/{name}/root.tar"))


def sandbox(
    monkeypatch: pytest.MonkeyPatch, fails: str = "", own: int | None = 1000, said: bytes = b"ready\r\n"
) -> Any:
    made = FakeDisks(fails, own)
    monkeypatch.setattr(disk, "time", made)
    return FakeSandbox(made, said)


def test_what_is_made_and_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten disks, of which the last one is launched from, looked at before and after, and removed."""
    box = sandbox(monkeypatch)
    found = SLIM.measure(box)
    tenth = f"{INSTANCES}.qcow2"
    looked = [f"own {tenth}", f"own {tenth}", f"remove {tenth}"]
    assert box.disks().asked == ["clear", *["make qcow2"] * INSTANCES, *looked, "clear"]
    assert [(one.disk, one.is_idle) for one in box.launched] == [(Disk(Path(tenth), "qcow2"), True)]
    assert found == {
        "make": 1.0,
        "make-tenth": 10.0,
        "start": 0.5,
        "first-byte": 10.5,
        "remove": 0.25,
        "disk": 1000.0,
        "disk-used": 1000.0,
    }
    assert set(found) == {metric.name for metric in SLIM.metrics}


def test_what_is_not_known_of_the_blocks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of its own is a number."""
    assert not {"disk", "disk-used"} & set(SLIM.measure(sandbox(monkeypatch, own=None)))
    found = SLIM.measure(sandbox(monkeypatch, own=0))
    assert found["disk"] == 0 and all(metric.can_be(found[metric.name]) for metric in SLIM.metrics)


@pytest.mark.parametrize("step", ["make qcow2", f"own {INSTANCES}.qcow2", f"remove {INSTANCES}.qcow2"])
def test_after_a_failure_no_disk_is_left(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """And its reason is the one that is told."""
    box = sandbox(monkeypatch, fails=step)
    with pytest.raises(MeasurementError, match="no space left on device"):
        SLIM.measure(box)
    assert box.disks().asked[-1] == "clear" and box.disks().there == []


@pytest.mark.parametrize("said", [b"", b'{"error": "/probe: No such file or directory"}\n', b"Kernel panic\n"])
def test_a_guest_that_does_not_run_its_disks_program_gives_no_number(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Whatever it sent instead is told."""
    box = sandbox(monkeypatch, said=said)
    with pytest.raises(MeasurementError, match="did not run the program on its disk") as failed:
        SLIM.measure(box)
    assert said.decode().strip() in failed.value.reason and box.disks().there == []


def test_what_a_run_times_makes_disks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's own sandbox has them as the environment's has; one without them is told from it."""
    box = sandbox(monkeypatch)
    assert isinstance(TimedSandbox(box), MakesDisks) and TimedSandbox(box).disks() is box.disks()  # type: ignore[attr-defined]
    for ask in (SLIM.measure, SLIM.facts):
        with pytest.raises(MeasurementError, match="makes no disks"):
            ask(SayingSandbox([]))  # type: ignore[arg-type]


def test_the_record_says_how_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SLIM.facts(sandbox(monkeypatch))
    assert facts["command"] == "qemu-img create -q -f qcow2 -b SOURCE -F raw DISK"
    assert int(facts["size"]) == Path(__file__).stat().st_size and int(facts["source"]) > 0
    assert facts["made-of"] == kinds.made_of("slim")


def test_what_the_host_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system, the tool, or the files, each with its remedy, and only where it matters."""
    monkeypatch.setattr(guests, "why_no_reflink", lambda folder: f"the file system of {folder} cannot")
    lack = OwnDisk("slim", "reflink").lacks()
    assert lack is not None and lack.reason.startswith("the file system of /") and "ISOBENCH_WORK" in lack.remedy
    assert OwnDisk("slim", "copy").lacks() is None
    monkeypatch.setattr(guests, "why_no_reflink", lambda folder: "")
    assert OwnDisk("slim", "reflink").lacks() is None
    monkeypatch.setattr(disk, "find", lambda name: None)
    assert SLIM.lacks() == ("qemu-img is not installed", "apt-get install qemu-utils")
    assert OwnDisk("slim", "copy").lacks() is None

    def cannot(name: str) -> None:
        raise BuildError("mmdebstrap is not installed", remedy="apt-get install mmdebstrap")

    monkeypatch.setattr(kinds, "root_of_kind", cannot)
    assert OwnDisk("slim", "copy").lacks() == ("mmdebstrap is not installed", "apt-get install mmdebstrap")


def test_they_are_run_when_they_are_named() -> None:
    """With the images or without them, where a guest can have a given disk."""
    assert [one.name for one in catalog.select_scenarios("disk")] == [one.name for one in SCENARIOS]
    assert {one.name for one in SCENARIOS} <= {one.name for one in catalog.select_scenarios("image")}
    assert {one.name for one in SCENARIOS} & {one.name for one in catalog.select_scenarios("default")} == set()
    able = {name for name, one in catalog.environments().items() if SCENARIOS[0].needs <= one.capabilities}
    assert able == {"tcg", "kvm"} and len(SCENARIOS) == len(DISK_KINDS) * len(WAYS)
