"""The network cards of guests: behind QEMU's user-mode network, or behind a tap on a bridge.

User-mode network: one port is forwarded from the loopback. libvirt 9 cannot describe a forwarded port, so the card is
added on QEMU's own command line (libvirt's drvqemu, "Pass-through of arbitrary QEMU commands"). The guest has a route
to its own network only, so its traffic cannot leave the machine. QEMU's `restrict=on` would enforce that, too, but it
drops the guest's UDP answers, as a trial showed.

Tap: the bridge is created when the environment is opened. It is named after run and environment, so it is found again
without a record. No route of the host overlaps its network, and the guest has no other route.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as Xml

from isobench.contracts.capabilities import SERVER_PORT
from isobench.core import deadlines
from isobench.core.errors import MeasurementError, Unavailable
from isobench.environments.libvirt._domain import GuestInstance
from isobench.environments.libvirt._sandbox import GuestSandbox
from isobench.processes.accounting import descriptors
from isobench.processes.programs import output

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from isobench.contracts.launch import Launch
    from isobench.environments.libvirt._sandbox import Files

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_KINDS = ("tcp", "udp")
_SLOT = "0x10"
"""On pcie.0; libvirt counts its own devices up from 1."""
_USER_ADDRESS = "10.0.2.15"
"""What QEMU's user-mode network gives its first guest."""
_PRIVATE = IPv4Network("10.213.0.0/16")
"""The bridges' networks are subnets of this one; 198.18.0.0/15 is for the veth pairs (bench/probe/veth.c)."""


class UserNetSandbox(GuestSandbox):
    """Its guests are reached at `published_port`."""

    published_port = SERVER_PORT
    modules = ("virtio_net",)

    def words(self, files: Files) -> tuple[str, ...]:
        return (f"eth={_USER_ADDRESS}",)

    def domain_xml(self, name: str, files: Files, probe_args: tuple[str, ...]) -> str:
        """The recorded configuration has no ports."""
        return self._with_card(super().domain_xml(name, files, probe_args), dict.fromkeys(_KINDS, 0))

    def instance(self, name: str, folder: Path, timeout: float, *, idle: bool) -> GuestInstance:
        return UserNetInstance(self.connected(), name, folder, timeout, idle=idle)

    @staticmethod
    def _with_card(xml: str, ports: Mapping[str, int]) -> str:
        Xml.register_namespace("qemu", _QEMU)
        domain = Xml.fromstring(xml)
        forwarded = ",".join(f"hostfwd={kind}:127.0.0.1:{ports[kind]}-:{SERVER_PORT}" for kind in _KINDS)
        line = Xml.SubElement(domain, f"{{{_QEMU}}}commandline")
        card = f"virtio-net-pci,netdev=user,bus=pcie.0,addr={_SLOT},romfile="
        for word in ("-netdev", f"user,id=user,{forwarded}", "-device", card):
            Xml.SubElement(line, f"{{{_QEMU}}}arg", value=word)
        return Xml.tostring(domain, encoding="unicode")


class UserNetInstance(GuestInstance):
    """Knows the ports that the kernel chose for QEMU's two listening sockets."""

    def published(self) -> Mapping[str, int]:
        """The ports of 127.0.0.1 by protocol."""
        return {kind: _bound_port(self.qemu, kind) for kind in _KINDS}


def _bound_port(pid: int, kind: str) -> int:
    """The port of a process's socket on 127.0.0.1, from /proc/net (hexadecimal address in host order, and port)."""
    port = parse_bound_port(Path(f"/proc/net/{kind}").read_text(errors="replace"), descriptors(pid))
    if port is None:
        raise MeasurementError(f"QEMU has no {kind} port on the loopback")
    return port


def parse_bound_port(text: str, links: Container[str]) -> int | None:
    """The port of the first socket on 127.0.0.1 among these links, from the text of /proc/net/tcp or udp."""
    for line in text.splitlines():
        words = [*line.split(), *[""] * 10]
        bound = re.fullmatch("0100007F:([0-9A-F]{4})", words[1])
        if bound and words[2].endswith(":0000") and f"socket:[{words[9]}]" in links:
            return int(bound[1], 16)
    return None


class TapSandbox(GuestSandbox):
    """Each of its guests has an address of its own: the network's second for the first guest, and so on."""

    modules = ("virtio_net",)
    bridge: str
    network: IPv4Network

    def words(self, files: Files) -> tuple[str, ...]:
        return (f"eth={self._address(files)}",)

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[GuestInstance]:
        """Raises `Unavailable` as well: if libvirt cannot limit the network on this host."""
        try:
            with super().launch(launch) as instance:
                yield instance
        except MeasurementError as error:
            reason = parse_refused_limit(error.reason) if launch.limits.receive_bytes else ""
            if not reason:
                raise
            raise Unavailable(f"libvirt cannot limit its network: {reason}") from error

    def domain_xml(self, name: str, files: Files, probe_args: tuple[str, ...]) -> str:
        """The recorded configuration has placeholders for what differs by run."""
        domain = Xml.fromstring(super().domain_xml(name, files, probe_args))
        devices = domain.find("devices")
        assert devices is not None
        card = Xml.SubElement(devices, "interface", type="bridge")
        number = _number(files)
        if number is not None:  # an address that is used again belongs to the same card
            Xml.SubElement(card, "mac", address=f"52:54:00:00:00:{_host_part(number):02x}")
        Xml.SubElement(card, "source", bridge="BRIDGE" if number is None else self.bridge)
        Xml.SubElement(card, "model", type="virtio")
        Xml.SubElement(card, "rom", enabled="no")
        if self.limits.receive_bytes:  # in units of 1000 bytes a second
            average = str(self.limits.receive_bytes // 1000)
            Xml.SubElement(Xml.SubElement(card, "bandwidth"), "inbound", average=average)
        return Xml.tostring(domain, encoding="unicode")

    def instance(self, name: str, folder: Path, timeout: float, *, idle: bool) -> GuestInstance:
        made = TapInstance(self.connected(), name, folder, timeout, idle=idle)
        made.address = str(self.network[_host_part(int(folder.name))])
        return made

    def _address(self, files: Files) -> str:
        number = _number(files)
        return "ADDRESS" if number is None else str(self.network[_host_part(number)])


class TapInstance(GuestInstance):
    """Knows the address at which the host reaches it."""

    address: str


def parse_refused_limit(reason: str) -> str:
    """The tc command of libvirt's that failed, and why; empty if something else failed."""
    found = re.search(r"\((tc [^()]{1,200})\)[^:]{0,100}:\s*(?:Error: )?([^\n]{1,200})", reason)
    return f"{found[1]}: {found[2]}" if found else ""


def _number(files: Files) -> int | None:
    """The instance's number in its sandbox, by its folder; None in the recorded configuration."""
    folder = Path(files.serial).parent.name
    return int(folder) if folder else None


def _host_part(number: int) -> int:
    """From 2 to 251; 1 is the bridge's."""
    return 2 + (number - 1) % 250


def bridge_name(run: str, environment: str) -> str:
    """At most 15 characters, the kernel's limit."""
    return "iso" + hashlib.sha256(f"{run}/{environment}".encode()).hexdigest()[:12]


def _remedy(words: str) -> str:
    if "not permitted" in words or "denied" in words:
        return "give this container the network capability: --cap-add NET_ADMIN"
    return "install iproute2, modprobe bridge"


@contextmanager
def on_a_bridge(sandbox: GuestSandbox, run: str) -> Iterator[None]:
    """Create the bridge of a tap sandbox while it is open. Raises `Unavailable` if it cannot be created."""
    tap = cast("TapSandbox", sandbox)
    tap.bridge = bridge_name(run, tap.environment.name)
    with _laid_bridge(tap.bridge) as tap.network:
        yield


@contextmanager
def _laid_bridge(bridge: str) -> Iterator[IPv4Network]:
    """A bridge with the first address of a network of its own. Raises `Unavailable` if it cannot be created."""
    if os.geteuid() != 0:
        raise Unavailable("needs root", remedy="run isobench as root")
    try:
        network = _free_network()
        _ip("link", "add", bridge, "type", "bridge", "forward_delay", "0")
    except MeasurementError as error:
        raise Unavailable(f"no bridge: {error.reason}", remedy=_remedy(error.reason)) from error
    try:
        _ip("address", "add", f"{network[1]}/{network.prefixlen}", "dev", bridge)
        _ip("link", "set", bridge, "up")
        yield network
    finally:
        with suppress(MeasurementError):  # it may be gone already; otherwise the sweep removes and reports it
            _ip("link", "delete", bridge)


def _free_network() -> IPv4Network:
    """The first network of 256 addresses that no route of this host overlaps (its addresses are routes, too)."""
    used = parse_routes(_ip("-json", "-4", "route", "show", "table", "all"))
    for network in _PRIVATE.subnets(new_prefix=24):
        if not any(network.overlaps(other) for other in used):
            return network
    raise MeasurementError(f"every network of {_PRIVATE} is in use")


def parse_routes(text: str) -> list[IPv4Network]:
    """The networks in the output of `ip -json route`, without the default route. Raises `MeasurementError`."""
    try:
        found = [str(route["dst"]) for route in json.loads(text)]
        return [IPv4Network(network, strict=False) for network in found if network != "default"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MeasurementError(f"unexpected form of ip's answer about routes: {error!r}") from error


def _ip(*words: str) -> str:
    """The output of ip (iproute2)."""
    return output(["ip", *words], deadlines.stretched(10))


def sweep(run: str, environments: Iterable[str]) -> list[str]:
    """Remove the bridges of a dead run, found by the names that are computed from its name."""
    removed = []
    for bridge in (bridge_name(run, environment) for environment in environments):
        if Path(f"/sys/class/net/{bridge}/bridge").is_dir():
            _ip("link", "delete", bridge)
            removed.append(f"bridge {bridge}")
    return removed
