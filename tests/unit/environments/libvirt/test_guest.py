"""What a guest is made of, before any libvirt is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from isobench.contracts.launch import DEFAULT_TIMEOUT, working
from isobench.core.errors import DeadlineExceeded, MeasurementError, Unavailable
from isobench.environments.libvirt import _sandbox
from isobench.environments.libvirt._domain import GuestInstance
from isobench.environments.libvirt._sandbox import GuestSandbox
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


class Silent:
    """An instance that does not come up."""

    qemu = 0
    daemons: tuple[int, ...] = ()

    def start(self, xml: str) -> None:
        raise DeadlineExceeded("deadline: the guest was not ready")


@pytest.mark.parametrize(("name", "tells"), [("tcg", True), ("tcg-distro", False)])
def test_a_guest_that_does_not_come_up_tells_of_its_kind(
    name: str, tells: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a whole distribution: a service on its disk may be what fails."""
    monkeypatch.setattr(GuestSandbox, "find_kernel", lambda self: None)
    monkeypatch.setattr("isobench.environments.libvirt._distro.DistroSandbox.find_kernel", lambda self: None)
    with pytest.raises(DeadlineExceeded):
        sandbox(name, tmp_path).start(cast("GuestInstance", Silent()), "", DEFAULT_TIMEOUT)
    assert bool(_sandbox._heard) == tells


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
