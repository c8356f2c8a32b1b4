"""Kernels that lack something: it costs the instances that want it."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.contracts.launch import DEFAULT_TIMEOUT, idle, working
from isobench.core.errors import MeasurementError, Unavailable
from isobench.environments.libvirt._storage import Storage
from isobench.guests import initramfs
from isobench.guests.kernel import guest_kernel, has_guest_kernel
from isobench.planning import catalog
from isobench.processes import programs
from isobench.setup import packages
from tests.conftest import STRICT
from tests.contract.opening import GUEST, opened


@pytest.mark.root
@pytest.mark.libvirt
def test_a_kernel_without_a_disk_boots_what_wants_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its startup and its system calls are measured; a verb that wants the disk says what is lacking."""
    if not has_guest_kernel():
        (pytest.fail if STRICT else pytest.skip)("no kernel for guests: isobench provision")
    (tmp_path / "modules.dep").write_text("")
    bare = guest_kernel()._replace(modules=tmp_path)
    monkeypatch.setattr(initramfs, "guest_kernel", lambda: bare)
    initramfs.initramfs.cache_clear()
    try:
        with opened(GUEST) as sandbox:
            with sandbox.launch(idle(timeout=DEFAULT_TIMEOUT)) as instance:
                assert instance.wait() == 0
            wanting = sandbox.launch(working("fio", "--name=x", disk=True, timeout=DEFAULT_TIMEOUT))
            with pytest.raises(MeasurementError, match=r"no disk for this guest: .* has no module virtio_pci"), wanting:
                pass
        with pytest.raises(Unavailable, match="has no module"), opened(f"{GUEST}-scsi"):
            pass
        with pytest.raises(Unavailable, match="has no module"), opened(f"{GUEST}-user"):
            pass
    finally:
        initramfs.initramfs.cache_clear()


def test_virtiofs_wants_its_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of its own in newer releases: the reason names it, before anything is started."""
    monkeypatch.setattr(packages, "VIRTIOFSD", ())
    monkeypatch.setattr(programs, "_ALSO", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    environment = catalog.environments()["tcg-virtiofs"]
    with pytest.raises(Unavailable, match="virtiofsd is not installed") as told, environment.open(tmp_path):
        pass
    assert "apt-get install virtiofsd" in told.value.remedy


@pytest.mark.parametrize("told", [True, False])
def test_libvirt_is_told_where_virtiofsd_is_where_no_package_does(
    told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU's description of it (docs/interop/vhost-user.json) is what libvirt reads by itself."""
    from xml.etree import ElementTree as Xml

    if told:
        (tmp_path / "50-virtiofsd.json").touch()
    monkeypatch.setattr("isobench.environments.libvirt._storage._DESCRIPTIONS", (str(tmp_path),))
    monkeypatch.setattr("isobench.environments.libvirt._storage.virtiofsd", lambda: "/usr/libexec/virtiofsd")
    domain = Xml.Element("domain")
    devices = Xml.SubElement(domain, "devices")
    Storage(share="virtiofs").add_to(domain, devices, "/disk", "/folder")
    binary = devices.find("filesystem/binary")
    assert (binary is None) == told
    assert binary is None or binary.get("path") == "/usr/libexec/virtiofsd"
