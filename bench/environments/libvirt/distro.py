"""A virtual machine as in everyday use: stock Debian with systemd, booted by firmware and boot loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.contracts.capabilities import Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments.libvirt._mechanism import LIBVIRT, MKE2FS, QEMU_IMG
from isobench.environments.libvirt._storage import Storage
from isobench.environments.libvirt.guest import Guest

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.libvirt._distro import DistroSandbox


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
        from isobench.environments.libvirt._distro import DistroSandbox

        return DistroSandbox(connection, self, workdir, (*_MADE_WITH, QEMU_IMG, MKE2FS))


ENVIRONMENTS: tuple[Environment, ...] = tuple(
    Distro(
        f"{kind}-distro",
        f"{title}, Debian",
        "firmware, boot loader, a distribution's kernel and init system",
        kind,
        domain_type=domain_type,
        storage=Storage(kind="qcow2"),
        single_factor=False,
        groups=("vms", "kinds"),
    )
    for kind, title, domain_type in (("tcg", "QEMU without KVM", "qemu"), ("kvm", "KVM", "kvm"))
)
