"""A virtual machine as in everyday use: stock Debian with systemd, booted by firmware and boot loader."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from isobench.contracts.capabilities import Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments.libvirt._connection import give_to_qemu
from isobench.environments.libvirt._domain import GuestInstance
from isobench.environments.libvirt._mechanism import LIBVIRT, MKE2FS, QEMU_IMG
from isobench.environments.libvirt._storage import Storage
from isobench.environments.libvirt.guest import Files, Guest, GuestSandbox
from isobench.host.programs import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from isobench.contracts.environment import Environment
    from isobench.contracts.launch import Launch

MEMORY_MIB = 512
LONGER = 5.0
"""How much longer than a kernel with the probe a whole distribution may take to boot: under TCG it takes a minute."""


_MADE_WITH = (
    Tool("mmdebstrap", ("mmdebstrap",)),
    Tool("extlinux", ("extlinux",)),
    Tool("sfdisk", ("fdisk",)),
)
"""Tools to build the image, in addition to those for every guest's disk."""
_IMAGES = Mechanism(
    "images of distributions",
    tools=_MADE_WITH,
    needs=tuple(tool.need("the distribution's virtual machine", everyday=False) for tool in _MADE_WITH),
)


class Distro(Guest):
    """Opt-in, because it is slow. Its service sends the ready line once the system is up; it has no other verb."""

    capabilities = frozenset({Capability.READY})
    mechanisms = (LIBVIRT, _IMAGES)

    def sandbox(self, connection: Any, workdir: Path) -> DistroSandbox:
        return DistroSandbox(connection, self, workdir)


class DistroSandbox(GuestSandbox):
    """The disk image; every instance writes to an overlay of its own."""

    memory_mib = MEMORY_MIB
    speaks_for_others = False  # the failure may be that of a service on its disk

    def find_kernel(self) -> None:
        from isobench.images.distro import distro_image

        _require(*_MADE_WITH, QEMU_IMG, MKE2FS)
        self._image = distro_image()

    def kernel_fact(self) -> str:
        return "Debian's, from its disk, by firmware and boot loader"

    def boot(self, system: Element, files: Files, probe_args: tuple[str, ...]) -> None:
        from xml.etree import ElementTree as Xml

        Xml.SubElement(system, "boot", dev="hd")

    def facts(self) -> Mapping[str, str]:
        return {**super().facts(), "storage": "virtio-blk, qcow2 overlay, cache none, ext4", "domain.disk": ""}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[GuestInstance]:
        import subprocess

        from isobench.core.errors import MeasurementError
        from isobench.filesystem.paths import short

        if not launch.is_idle:
            raise MeasurementError("a Debian guest sends the ready line and does nothing else")
        with self.next_folder() as (name, folder):
            disk = folder / "disk.qcow2"
            words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(self._image), "-F", "raw", str(disk)]
            done = subprocess.run(words, capture_output=True, errors="replace", check=False)
            if done.returncode != 0:
                raise MeasurementError(f"qemu-img: {done.stderr.strip()}")
            give_to_qemu(disk)
            files = Files(f"{short(folder / 'serial')}", f"{folder}/console", disk=str(disk))
            instance = GuestInstance(self.connected(), name, folder, launch.timeout * LONGER, idle=True)
            try:
                self.start(instance, self.domain_xml(name, files, launch.arguments), launch.timeout)
                yield instance
            finally:
                instance.destroy()


def _require(*tools: Tool) -> None:
    """Raise `Unavailable` if one of these is not installed."""
    from isobench.core.errors import Unavailable

    packages = sorted(tool.packages[0] for tool in tools if find(tool.name) is None)
    if packages:
        raise Unavailable("the tools for a Debian image are missing", remedy=f"apt-get install {' '.join(packages)}")


ENVIRONMENTS: tuple[Environment, ...] = tuple(
    Distro(
        f"{kind}-distro",
        f"{title}, Debian",
        "firmware, boot loader, a distribution's kernel and init system",
        kind,
        domain_type=domain_type,
        storage=Storage(kind="qcow2"),
        single_factor=False,
        groups=("vms",),
    )
    for kind, title, domain_type in (("tcg", "QEMU without KVM", "qemu"), ("kvm", "KVM", "kvm"))
)
