"""How a guest reaches its storage: its parts of the domain, the initramfs and the kernel's command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.launch import NO_LIMITS
from isobench.setup.packages import virtiofsd

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from isobench.contracts.launch import Limits

_MODULES = {
    "scsi": ("virtio_scsi", "sd_mod"),
    "virtiofs": ("virtiofs",),
    "9p": ("9pnet_virtio", "9p"),
}
"""Kernel modules for a bus or a shared folder, in addition to those of every guest with a disk."""

_DESCRIPTIONS = ("/usr/share/qemu/vhost-user", "/etc/qemu/vhost-user")
"""Where packages describe their virtiofsd for libvirt; without a description, the domain names it."""

_BUSES = {"virtio": "virtio-blk", "scsi": "virtio-scsi"}
_DISKS = {"virtio": "vda", "scsi": "sda"}


class Storage(NamedTuple):
    """The disk with the root file system, and how the data's folder is shared if it is on the host."""

    bus: str = "virtio"
    kind: str = "raw"
    cache: str = "none"
    io: str = "native"
    share: str = ""
    """How the data's folder is shared: "virtiofs", "9p", or "" if it is on the disk."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The kernel modules it needs in addition to the usual ones (bench/guests/initramfs.py)."""
        return (*_MODULES.get(self.bus, ()), *_MODULES.get(self.share, ()))

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of the probe as init (bench/probe/guest.c)."""
        return (f"share={self.share}",) if self.share else ()

    @property
    def description(self) -> str:
        """For the record. A shared folder always uses the host's page cache, whatever the guest asks for."""
        disk = f"{_BUSES[self.bus]}, {self.kind} image, cache {self.cache}, io {self.io}, ext4"
        if self.share == "virtiofs":
            return (
                f"a folder of the host over virtiofs, through the host's page cache (direct I/O skips the guest's "
                f"only); the guest's memory is shared with virtiofsd (memfd), so that it counts as shared memory and "
                f"virtiofsd maps it, too; the root file system on {disk}"
            )
        if self.share == "9p":
            return f"a folder of the host over 9p, through the host's page cache; the root file system on {disk}"
        return disk

    def add_to(self, domain: Element, devices: Element, disk: str, share: str, limits: Limits = NO_LIMITS) -> None:
        """The devices of the domain (libvirt's formatdomain, "Hard drives" and "Filesystems"), with the limits of what
        may be read from and written to the disk."""
        from pathlib import Path
        from xml.etree import ElementTree as Xml

        if self.bus == "scsi":
            Xml.SubElement(devices, "controller", type="scsi", model="virtio-scsi")
        element = Xml.SubElement(devices, "disk", type="file", device="disk")
        driver = Xml.SubElement(element, "driver", name="qemu", type=self.kind, cache=self.cache, io=self.io)
        driver.set("error_policy", "report")  # report a full disk to the guest; otherwise QEMU pauses it for ever
        Xml.SubElement(element, "source", file=disk)
        Xml.SubElement(element, "target", dev=_DISKS[self.bus], bus=self.bus)
        rates = {
            "read_bytes_sec": limits.read_bytes,
            "write_bytes_sec": limits.write_bytes,
            "read_iops_sec": limits.read_operations,
            "write_iops_sec": limits.write_operations,
        }
        if any(rates.values()):
            tuned = Xml.SubElement(element, "iotune")
            for name, rate in rates.items():
                if rate:
                    Xml.SubElement(tuned, name).text = str(rate)
        if not self.share:
            return
        mode = "passthrough" if self.share == "virtiofs" else "mapped"
        element = Xml.SubElement(devices, "filesystem", type="mount", accessmode=mode)
        Xml.SubElement(element, "driver", type="virtiofs" if self.share == "virtiofs" else "path")
        described = [file for folder in _DESCRIPTIONS for file in Path(folder).glob("*virtiofsd*.json")]
        if self.share == "virtiofs" and not described:
            Xml.SubElement(element, "binary", path=virtiofsd() or "virtiofsd")
        Xml.SubElement(element, "source", dir=share)
        Xml.SubElement(element, "target", dir="data")
        if self.share == "virtiofs":  # virtiofsd reads and writes the guest's memory
            memory = Xml.SubElement(domain, "memoryBacking")
            Xml.SubElement(memory, "source", type="memfd")
            Xml.SubElement(memory, "access", mode="shared")
