"""Guests that boot a distribution's disk."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from isobench.core.errors import MeasurementError, Unavailable
from isobench.environments.libvirt._daemons import give_to_qemu
from isobench.environments.libvirt._domain import GuestInstance
from isobench.environments.libvirt._sandbox import Files, GuestSandbox
from isobench.filesystem.paths import short
from isobench.guests.disk import make_disk
from isobench.guests.distro import distro_image
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any
    from xml.etree.ElementTree import Element

    from isobench.contracts.launch import Launch
    from isobench.contracts.mechanism import Tool
    from isobench.environments.libvirt.guest import Guest

MEMORY_MIB = 512
LONGER = 5.0
"""How much longer than a kernel with the probe a whole distribution may take to boot: under TCG it takes a minute."""


class DistroSandbox(GuestSandbox):
    """The disk image; every instance writes to an overlay of its own."""

    memory_mib = MEMORY_MIB
    speaks_for_others = False  # the failure may be that of a service on its disk

    def __init__(self, connection: Any, environment: Guest, workdir: Path, made_with: Sequence[Tool]) -> None:
        self._made_with = made_with
        super().__init__(connection, environment, workdir)

    def find_kernel(self) -> None:
        _require(self._made_with)
        self._image = distro_image()

    def kernel_fact(self) -> str:
        return "Debian's, from its disk, by firmware and boot loader"

    def boot(self, system: Element, files: Files, probe_args: tuple[str, ...]) -> None:
        Xml.SubElement(system, "boot", dev="hd")

    def facts(self) -> Mapping[str, str]:
        return {**super().facts(), "storage": "virtio-blk, qcow2 overlay, cache none, ext4", "domain.disk": ""}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[GuestInstance]:
        if not launch.is_idle:
            raise MeasurementError("a Debian guest sends the ready line and does nothing else")
        with self.next_folder() as (name, folder):
            disk = folder / "disk.qcow2"
            make_disk("qcow2", self._image, disk)
            give_to_qemu(disk)
            files = Files(f"{short(folder / 'serial')}", f"{folder}/console", disk=str(disk))
            instance = GuestInstance(self.connected(), name, folder, launch.timeout * LONGER, idle=True)
            try:
                self.start(instance, self.domain_xml(name, files, launch.arguments), launch.timeout)
                yield instance
            finally:
                instance.destroy()


def _require(tools: Sequence[Tool]) -> None:
    """Raise `Unavailable` if one of these is not installed."""
    packages = sorted(tool.packages[0] for tool in tools if find(tool.name) is None)
    if packages:
        raise Unavailable("the tools for a Debian image are missing", remedy=f"apt-get install {' '.join(packages)}")
