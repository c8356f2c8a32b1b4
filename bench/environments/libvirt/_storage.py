"""How a guest reaches its storage: the part of the domain, of the initramfs and of the kernel's command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.setup.packages import virtiofsd

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MODULES = {
    "scsi": ("virtio_scsi", "sd_mod"),
    "virtiofs": ("virtiofs",),
    "9p": ("9pnet_virtio", "9p"),
}
"""What a guest's kernel loads for a bus or a shared folder, beside what every guest with a disk does."""

_DESCRIPTIONS = ("/usr/share/qemu/vhost-user", "/etc/qemu/vhost-user")
"""Where packages tell libvirt of their virtiofsd; where none does, it is told."""

_BUSES = {"virtio": "virtio-blk", "scsi": "virtio-scsi"}
_DISKS = {"virtio": "vda", "scsi": "sda"}


class Storage(NamedTuple):
    """The disk with the root file system, and where the data is on a folder of the host, how that is shared."""

    bus: str = "virtio"
    kind: str = "raw"
    cache: str = "none"
    io: str = "native"
    share: str = ""
    """The data's folder: "" for the disk's own, "virtiofs" or "9p"."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The kernel modules that it wants beside the usual ones (bench/images/initramfs.py)."""
        return (*_MODULES.get(self.bus, ()), *_MODULES.get(self.share, ()))

    @property
    def words(self) -> tuple[str, ...]:
        """What the probe as init is told (bench/probe/guest.c)."""
        return (f"share={self.share}",) if self.share else ()

    @property
    def description(self) -> str:
        """For the record. A shared folder is never past the host's page cache, whatever the guest asks for."""
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

    def add_to(self, domain: Element, devices: Element, disk: str, share: str) -> None:
        """The devices of the domain (libvirt's formatdomain, "Hard drives" and "Filesystems")."""
        from pathlib import Path
        from xml.etree import ElementTree as Xml

        if self.bus == "scsi":
            Xml.SubElement(devices, "controller", type="scsi", model="virtio-scsi")
        element = Xml.SubElement(devices, "disk", type="file", device="disk")
        driver = Xml.SubElement(element, "driver", name="qemu", type=self.kind, cache=self.cache, io=self.io)
        driver.set("error_policy", "report")  # a full disk is the guest's to hear of; else QEMU stops it for ever
        Xml.SubElement(element, "source", file=disk)
        Xml.SubElement(element, "target", dev=_DISKS[self.bus], bus=self.bus)
        if not self.share:
            return
        mode = "passthrough" if self.share == "virtiofs" else "mapped"
        element = Xml.SubElement(devices, "filesystem", type="mount", accessmode=mode)
        Xml.SubElement(element, "driver", type="virtiofs" if self.share == "virtiofs" else "path")
        told = [file for folder in _DESCRIPTIONS for file in Path(folder).glob("*virtiofsd*.json")]
        if self.share == "virtiofs" and not told:
            Xml.SubElement(element, "binary", path=virtiofsd() or "virtiofsd")
        Xml.SubElement(element, "source", dir=share)
        Xml.SubElement(element, "target", dir="data")
        if self.share == "virtiofs":  # virtiofsd reads and writes the guest's memory
            memory = Xml.SubElement(domain, "memoryBacking")
            Xml.SubElement(memory, "source", type="memfd")
            Xml.SubElement(memory, "access", mode="shared")
