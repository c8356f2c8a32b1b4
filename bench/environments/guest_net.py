"""Virtual machines with a network card behind QEMU's user-mode network, one port of it forwarded from the loopback.

libvirt 9 has no word for a forwarded port, so that the card is given on QEMU's own command line (libvirt's drvqemu,
"Pass-through of arbitrary QEMU commands"). The guest has no route but to its own network, so that nothing of it leaves
the machine. QEMU's `restrict=on` would say that, too, but then it drops the guest's UDP answers (found by trying).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.environment import PROBE, READY
from bench.environments.guest import Guest, GuestInstance, GuestSandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.environments.guest import Files

PORT = 7001
"""Where the server in the guest listens, over TCP and UDP."""

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_KINDS = ("tcp", "udp")
_SLOT = "0x10"
"""On pcie.0; libvirt counts its own devices up from 1."""


class UserNetGuest(Guest):
    """A guest without a disk whose card is set up before the verb, also where it is idle."""

    offers = frozenset({READY, PROBE})

    def sandbox(self, connection: object, workdir: Path) -> UserNetSandbox:
        return UserNetSandbox(connection, self, workdir)


class UserNetSandbox(GuestSandbox):
    """Its guests are reached at `published_port`."""

    published_port = PORT
    modules = ("virtio_net",)
    words = ("eth",)

    def domain_xml(self, name: str, files: Files, probe_args: tuple[str, ...]) -> str:
        """A record of the configuration (no folder yet) has no ports."""
        return self._with_card(super().domain_xml(name, files, probe_args), dict.fromkeys(_KINDS, 0))

    def instance(self, name: str, folder: Path, timeout: float, *, idle: bool) -> GuestInstance:
        return UserNetInstance(self.connected(), name, folder, timeout, idle=idle)

    @staticmethod
    def _with_card(xml: str, ports: Mapping[str, int]) -> str:
        from xml.etree import ElementTree as Xml

        Xml.register_namespace("qemu", _QEMU)
        domain = Xml.fromstring(xml)
        forwarded = ",".join(f"hostfwd={kind}:127.0.0.1:{ports[kind]}-:{PORT}" for kind in _KINDS)
        line = Xml.SubElement(domain, f"{{{_QEMU}}}commandline")
        card = f"virtio-net-pci,netdev=user,bus=pcie.0,addr={_SLOT},romfile="
        for word in ("-netdev", f"user,id=user,{forwarded}", "-device", card):
            Xml.SubElement(line, f"{{{_QEMU}}}arg", value=word)
        return Xml.tostring(domain, encoding="unicode")


class UserNetInstance(GuestInstance):
    """Finds the ports that the kernel chose for QEMU's two listening sockets."""

    def published(self) -> Mapping[str, int]:
        """The ports of 127.0.0.1 by protocol."""
        return {kind: _bound_port(self.qemu, kind) for kind in _KINDS}


def _bound_port(pid: int, kind: str) -> int:
    """The port of a process's socket on 127.0.0.1 (/proc/net: address in host order, port, both hexadecimal)."""
    import os
    from pathlib import Path

    from bench.errors import MeasurementError

    links = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}  # noqa: PTH115
    for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        if address == "0100007F" and fields[2].endswith(":0000") and f"socket:[{fields[9]}]" in links:
            return int(port, 16)
    raise MeasurementError(f"QEMU has no {kind} port on the loopback")


ENVIRONMENTS = tuple(
    UserNetGuest(
        f"{kind}-user",
        f"{title}, user-mode network",
        "a virtio network card set up at boot, behind QEMU's user-mode network; its and the disk's modules loaded",
        kind,
        domain_type=domain_type,
        single_factor=False,
        groups=("network",),
    )
    for kind, title, domain_type in (("tcg", "QEMU without KVM", "qemu"), ("kvm", "KVM", "kvm"))
)
