"""What a guest is made of, before any libvirt is asked."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as Xml

import pytest

from isobench.contracts.disks import Disk
from isobench.contracts.launch import DEFAULT_TIMEOUT, of_disk, working
from isobench.core.errors import DeadlineExceeded, MeasurementError, Unavailable
from isobench.environments.libvirt import _sandbox
from isobench.environments.libvirt._domain import GaveUp, GuestInstance
from isobench.environments.libvirt._sandbox import GuestSandbox
from isobench.environments.libvirt._storage import Storage
from isobench.environments.libvirt.guest import Guest
from isobench.guests import initramfs
from isobench.guests.kernel import Kernel
from isobench.planning import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernel for guests is one that has no module, and nothing built in."""
    (tmp_path / "modules.dep").write_text("")
    (tmp_path / "vmlinuz").write_text("a kernel")
    bare = Kernel(image=tmp_path / "vmlinuz", modules=tmp_path, version="6.12", origin="a test")
    monkeypatch.setattr(initramfs, "guest_kernel", lambda: bare)
    monkeypatch.setattr(_sandbox, "guest_kernel", lambda: bare)
    initramfs.initramfs.cache_clear()
    yield
    initramfs.initramfs.cache_clear()


def sandbox(name: str, folder: Path) -> GuestSandbox:
    """Of an environment, without the connection that only a start needs."""
    environment = catalog.environments()[name]
    assert isinstance(environment, Guest)
    return environment.sandbox(None, folder)


@pytest.mark.usefixtures("no_modules")
def test_a_kernel_without_a_disks_modules_costs_what_wants_a_disk(tmp_path: Path) -> None:
    """A plain guest is made all the same, and says what is lacking where a disk is wanted."""
    made = sandbox("tcg", tmp_path)
    with pytest.raises(MeasurementError, match=r"no disk for this guest: .*has no module virtio_pci"):
        made.launch(working("fio", "--name=x", disk=True)).__enter__()


@pytest.mark.usefixtures("no_modules")
@pytest.mark.parametrize("name", ["tcg-scsi", "tcg-user"])
def test_a_kernel_without_a_module_that_every_instance_wants_is_a_skip(name: str, tmp_path: Path) -> None:
    """The reason names the module."""
    with pytest.raises(Unavailable, match="has no module"):
        sandbox(name, tmp_path)


class Failing:
    """An instance that does not come up."""

    qemu = 0
    daemons: tuple[int, ...] = ()

    def __init__(self, error: MeasurementError) -> None:
        self._error = error

    def start(self, xml: str) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [DeadlineExceeded("deadline: the guest was not ready"), GaveUp("QEMU stopped the guest (state 3, reason 0)")],
    ids=["late", "stopped by QEMU"],
)
@pytest.mark.parametrize(("name", "other", "tells"), [("tcg", "tcg-user", True), ("tcg-distro", "tcg", False)])
def test_a_guest_that_does_not_come_up_tells_of_its_kind(
    error: MeasurementError, name: str, other: str, tells: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a whole distribution: a service on its disk may be what fails."""
    monkeypatch.setattr(GuestSandbox, "find_kernel", lambda self: None)
    monkeypatch.setattr("isobench.environments.libvirt._distro.DistroSandbox.find_kernel", lambda self: None)
    monkeypatch.setattr(_sandbox, "connect", lambda: None)
    monkeypatch.setattr(_sandbox, "close", lambda connection: None)
    with pytest.raises(type(error)):
        sandbox(name, tmp_path).start(cast("GuestInstance", Failing(error)), "", DEFAULT_TIMEOUT)
    related = catalog.environments()[other]
    with (
        pytest.raises(Unavailable, match=rf"{re.escape(error.reason)} \(found with {name}\)")
        if tells
        else nullcontext()
    ):
        related.open(tmp_path).__enter__()


def test_a_guest_that_is_stopped_for_a_cause_of_its_own_tells_of_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, say."""
    monkeypatch.setattr(GuestSandbox, "find_kernel", lambda self: None)
    with pytest.raises(MeasurementError):
        sandbox("tcg", tmp_path).start(
            cast("GuestInstance", Failing(MeasurementError("QEMU stopped the guest (state 3, reason 5)"))),
            "",
            DEFAULT_TIMEOUT,
        )
    assert not _sandbox._heard


@pytest.mark.parametrize(("reason", "raised"), [(0, GaveUp), (5, MeasurementError)])
def test_why_a_domain_is_paused_is_libvirt_s_word(
    reason: int, raised: type[MeasurementError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reason is an error inside QEMU; 5 is an error of its disk."""
    pytest.importorskip("libvirt")
    instance = GuestInstance(None, "isobench-x-1", tmp_path, 600.0, idle=True)
    monkeypatch.setattr(instance, "_domain", SimpleNamespace(state=lambda: (3, reason)))
    with pytest.raises(MeasurementError, match=f"QEMU stopped the guest .state 3, reason {reason}") as caught:
        instance._check_alive()
    assert caught.type is raised
    instance._listener.close()


def test_whatever_stops_a_domain_from_being_made_is_told(tmp_path: Path) -> None:
    """At once, and not after the deadline of the guest that never comes."""
    libvirt = pytest.importorskip("libvirt")

    class Connection:
        def createXML(self, xml: str, flags: int) -> None:
            xml.encode()

        def lookupByName(self, name: str) -> None:
            raise libvirt.libvirtError("none")

    (tmp_path / "tcg" / "1").mkdir(parents=True)
    instance = GuestInstance(Connection(), "isobench-x-1", tmp_path / "tcg" / "1", 600.0, idle=True)
    with pytest.raises(MeasurementError, match=r"libvirt cannot start the domain: .*surrogates"):
        instance.start("<domain>\udcff</domain>")
    instance.destroy()


def test_a_given_disk_is_the_root_and_its_program_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own format, whatever that of the environment's own disks is, and only for this instance."""
    monkeypatch.setattr(GuestSandbox, "find_kernel", lambda self: None)
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    started: list[str] = []

    def start(self: GuestSandbox, instance: object, xml: str, timeout: float) -> None:
        started.append(xml)
        raise MeasurementError("enough")

    monkeypatch.setattr(GuestSandbox, "start", start)
    unborn = SimpleNamespace(destroy=lambda: None)
    monkeypatch.setattr(GuestSandbox, "instance", lambda self, name, folder, timeout, *, idle: unborn)
    box = sandbox("tcg", tmp_path / "isobench-x" / "tcg")
    box._workdir.mkdir(parents=True)
    vars(box).update(_kernel="/vmlinuz", _initramfs="/initramfs")
    for one in (Disk(tmp_path / "7.qcow2", "qcow2"), Disk(tmp_path / "8", "raw")):
        with pytest.raises(MeasurementError, match="enough"), box.launch(of_disk(one)):
            pass
        domain = Xml.fromstring(started[-1])
        disk, words = domain.find("devices/disk"), domain.findtext("os/cmdline", "")
        assert disk is not None and words.endswith(" -- guest disk exec /probe ready")
        assert [part.attrib for part in (disk[0], disk[1])] == [
            {**disk[0].attrib, "type": one.format, "cache": "none"},
            {"file": str(one.file)},
        ]
        assert domain.findtext("os/initrd") == "/initramfs"
    assert box.storage == Storage() and [file.name for file in box._workdir.iterdir()] == []


@pytest.mark.usefixtures("no_modules")
def test_a_kernel_without_a_disks_modules_boots_from_no_given_one(tmp_path: Path) -> None:
    box = sandbox("tcg", tmp_path / "isobench-x" / "tcg")
    box._workdir.mkdir(parents=True)
    with pytest.raises(MeasurementError, match="no disk for this guest"):
        box.launch(of_disk(Disk(tmp_path / "1", "raw"))).__enter__()
