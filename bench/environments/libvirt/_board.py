"""What a domain names of the machine that QEMU emulates, for each architecture."""

from __future__ import annotations

import os
from typing import NamedTuple
from xml.etree import ElementTree as Xml

from isobench.core.errors import Unavailable


class Board(NamedTuple):
    """QEMU's machine. Guests talk to the harness on its first serial port."""

    machine: str
    serial: str
    """libvirt's type of the first serial port."""
    log: str
    """libvirt's type of the second one, for the kernel's messages."""
    console: str
    """What Linux calls the second one."""
    features: tuple[str, ...] = ()
    """Devices that libvirt calls features."""
    emulated_cpu: str = ""
    """The CPU's model without KVM; empty: QEMU's default."""

    def add_cpu(self, domain: Xml.Element, domain_type: str) -> None:
        """Name the CPU where QEMU's default one cannot run a 64-bit kernel."""
        if not self.emulated_cpu:
            return
        if domain_type == "kvm":
            Xml.SubElement(domain, "cpu", mode="host-passthrough")
        else:
            Xml.SubElement(Xml.SubElement(domain, "cpu", mode="custom"), "model").text = self.emulated_cpu


_BOARDS = {
    "x86_64": Board("q35", "isa-serial", "isa-serial", "ttyS1", ("acpi", "apic")),
    "aarch64": Board("virt", "system-serial", "pci-serial", "ttyS0", emulated_cpu="cortex-a72"),
}
"""x86-64: two UARTs on the ISA bus. aarch64: the PL011 is the only serial port of its own ("ttyAMA0"), so that the
second one is a PCI card; libvirt allows ACPI only with UEFI, and the kernel boots here without firmware."""


def board() -> Board:
    """The machine of this host's architecture. Raises `Unavailable` if there is none."""
    machine = os.uname().machine
    if machine not in _BOARDS:
        raise Unavailable(f"isobench boots guests on {' and '.join(_BOARDS)}, not on {machine}")
    return _BOARDS[machine]
