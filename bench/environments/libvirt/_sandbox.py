"""What guests boot, and their domains.

A transient domain that dies with its client. It boots its kernel directly, and its first serial port is connected to a
socket of the harness, so that the first byte arrives without a detour.
"""

from __future__ import annotations

import copy
import itertools
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as Xml

from isobench.contracts.capabilities import Capability, Part
from isobench.contracts.launch import NO_LIMITS
from isobench.core import deadlines
from isobench.core.errors import BuildError, DeadlineExceeded, MeasurementError, Unavailable
from isobench.core.remedies import as_root
from isobench.core.text import NOT_UTF8
from isobench.environments.libvirt._board import board
from isobench.environments.libvirt._connection import bounded, close, connect, libvirt
from isobench.environments.libvirt._daemons import daemon, daemons_behind, give_to_qemu
from isobench.environments.libvirt._disks import GuestDisks
from isobench.environments.libvirt._domain import GaveUp, GuestInstance
from isobench.environments.libvirt._storage import Storage
from isobench.environments.libvirt._traces import domain_uuid
from isobench.filesystem.paths import cache_dir, check_name, short
from isobench.guests.disk import copy_disk
from isobench.guests.initramfs import initramfs, with_arguments
from isobench.guests.kernel import guest_kernel, image_to_boot
from isobench.guests.nullkernel import null_kernel
from isobench.host.machine import virtualises
from isobench.processes.accounting import called
from isobench.resources.cgroups import PERIOD, shares
from isobench.resources.oom import MemoryWatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any
    from xml.etree.ElementTree import Element

    from isobench.contracts.launch import Launch
    from isobench.environments.libvirt.guest import Guest

MEMORY_MIB = 192
_heard: dict[tuple[str, bool], tuple[str, str]] = {}
"""Kind of domain, and whether it has a null kernel -> why its first guest in this process did not become ready, and the
remedy; both empty if it did. All guests of a kind boot in the same way, so one that times out, or that QEMU itself
stops, stands for the others."""

_KERNEL_ARGUMENTS = "console={console} quiet panic=-1 reboot=t"
"""Kernel messages go to the second serial port, which is a file; a panic ends the domain at once."""


@contextmanager
def connected(environment: Guest) -> Iterator[Any]:
    """A connection for guests of this kind. Raises `Unavailable` if they cannot boot here."""
    if environment.domain_type == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise _no_kvm()
    reason, remedy = _heard.get(environment.boots_like, ("", ""))
    if reason:
        raise Unavailable(reason, remedy=remedy)
    connection = connect()
    try:
        yield connection
    finally:
        close(connection)


class Files(NamedTuple):
    """The paths of one instance: socket and log of its serial ports; its disk, initramfs and shared folder, if any."""

    serial: str
    console: str
    disk: str = ""
    initrd: str = ""
    share: str = ""


_REFUSED = rf"{NOT_UTF8}|[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
"""Matches what XML cannot express."""


class GuestSandbox:
    """What every instance boots: the kernel, the initramfs, and the image of its disk."""

    memory_mib = MEMORY_MIB
    cpus = 1
    limits = NO_LIMITS
    modules: tuple[str, ...] = ()
    """Kernel modules in addition to those for its storage."""

    speaks_for_others = True
    """Whether a guest that does not become ready stands for all of its kind."""

    @property
    def memory_bytes(self) -> int:
        """The memory given to a guest (`isobench.contracts.capabilities.GivesMemory`)."""
        return self.memory_mib << 20

    def __init__(self, connection: Any, environment: Guest, workdir: Path) -> None:
        self.connection = connection
        self.environment = environment
        self.storage = environment.storage
        self._board = board()
        self._workdir = workdir
        self._numbers = itertools.count(1)  # threads may share it
        self._looked = self._readable = False
        self._elsewhere = ""
        self._behind: list[int] = []
        self._no_disk: BuildError | Unavailable | None = None
        self._disks: GuestDisks | None = None
        self.find_kernel()
        check_name(workdir, "libvirt", _REFUSED, "ISOBENCH_WORK")
        check_name(cache_dir(), "libvirt", _REFUSED, "ISOBENCH_CACHE")

    def find_kernel(self) -> None:
        """Find or build what the guest boots; untimed."""
        if self.environment.null:
            self._kernel, self._initramfs, self._origin = null_kernel(), None, "the null kernel"
        else:
            kernel = guest_kernel()
            self._kernel, self._initramfs = image_to_boot(kernel), self._pack()
            self._origin = f"{kernel.version}, {kernel.origin}"

    def _pack(self) -> Path:
        """The initramfs. A kernel without the modules for a disk still boots guests that need none."""
        try:
            return initramfs((*self.storage.modules, *self.modules))
        except (BuildError, Unavailable) as error:
            if self.storage != Storage():
                raise
            self._no_disk = error
        return initramfs(self.modules, ("virtio_pci",) if self.modules else ())

    def kernel_fact(self) -> str:
        """Which kernel, and where it comes from."""
        return self._origin

    def boot(self, system: Element, files: Files, probe_args: tuple[str, ...]) -> None:
        """The part of the domain that says what to boot: directly a kernel, with the probe as its init."""
        Xml.SubElement(system, "kernel").text = str(self._kernel)
        if self._initramfs is not None:
            Xml.SubElement(system, "initrd").text = files.initrd or str(self._initramfs)
            arguments = _KERNEL_ARGUMENTS.format(console=self._board.console)
            verb = (*self.words(files), *probe_args)
            if files.disk:
                rest = ("arguments",) if files.initrd else probe_args
                verb = ("disk", *self.words(files), *self.storage.words, *rest)
            Xml.SubElement(system, "cmdline").text = " ".join([arguments, "--", "guest", *verb])

    def words(self, files: Files) -> tuple[str, ...]:
        """Arguments of the probe as init, before the verb (bench/probe/guest.c)."""
        return ()

    def connected(self) -> Any:
        """The connection, renewed if its daemon has ended: a run survives a restart of libvirtd."""
        try:
            bounded(self.connection.getLibVersion)
        except libvirt.libvirtError:
            close(self.connection)
            try:
                self.connection = connect()
            except Unavailable as error:
                raise MeasurementError(error.reason) from error
        return self.connection

    def daemons(self) -> list[int]:
        """libvirt's daemon, and the daemons behind it, which are known once a guest has run."""
        pid = daemon().pid
        return [pid, *(other for other in self._behind if other != pid)] if pid else []

    def unseen(self) -> Mapping[Part, str]:
        """The parts that cannot be observed here (`isobench.contracts.capabilities.HasBlindSpots`). Whether processes
        can be observed is known once a guest has run."""
        served = daemon()
        found = {} if served.pid else {Part.DAEMONS: served.why_not}
        if self._elsewhere:
            found |= dict.fromkeys((Part.PROCESSES, Part.MEMORY, Part.END), self._elsewhere)
        elif os.geteuid() != 0 and not self._readable:
            found[Part.MEMORY] = "only root can read the memory of another user's processes"
        return found

    def look_at(self, qemu: int) -> None:
        """Learn from one guest what holds for all: whether its process can be observed, which daemons work for it."""
        self._looked = True
        self._elsewhere = "" if qemu else "QEMU's process is not in this PID namespace: it runs elsewhere"
        if qemu:
            self._readable = os.access(f"/proc/{qemu}/smaps_rollup", os.R_OK)
            self._behind = daemons_behind(daemon().pid, qemu)

    def facts(self) -> Mapping[str, str]:
        """Facts about the disk are empty if its guests have none."""
        connection, disk = self.connected(), Capability.ROOTFS in self.environment.capabilities
        version, library = bounded(connection.getVersion), bounded(connection.getLibVersion)
        return {
            "version.qemu": f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}",
            "version.libvirt": f"{library // 1000000}.{library // 1000 % 1000}.{library % 1000}",
            "kernel": self.kernel_fact(),
            "memory": f"{self.memory_mib} MiB",
            "daemons": called(self.daemons()),
            "storage": self.storage.description if disk else "",
            "domain": self.domain_xml("NAME", Files("SOCKET", "CONSOLE"), ("ready",)),
            "domain.disk": self.disk_domain() if disk else "",
        }

    def disk_domain(self) -> str:
        """The domain of an instance whose verb needs the disk, with placeholders for what differs by instance."""
        files = Files("SOCKET", "CONSOLE", "DISK", "INITRAMFS", "FOLDER" if self.storage.share else "")
        return self.domain_xml("NAME", files, ("fio",))

    def domain_xml(self, name: str, files: Files, probe_args: tuple[str, ...]) -> str:
        """The whole domain. Devices that libvirt would add by default and that nothing here needs are switched off."""
        domain = Xml.Element("domain", type=self.environment.domain_type)
        Xml.SubElement(domain, "name").text = name
        if "/" in files.serial:  # the recorded configuration has no UUID
            Xml.SubElement(domain, "uuid").text = domain_uuid(self._workdir.parent.name, name)
        Xml.SubElement(domain, "memory", unit="MiB").text = str(self.memory_mib)
        Xml.SubElement(domain, "vcpu").text = str(self.cpus)
        tuned = Xml.SubElement(domain, "cputune") if self.limits.cpu_percent or self.limits.cpu_weight else None
        if tuned is not None and self.limits.cpu_weight:
            Xml.SubElement(tuned, "shares").text = str(shares(self.limits.cpu_weight))
        if tuned is not None and self.limits.cpu_percent:
            Xml.SubElement(tuned, "global_period").text = str(PERIOD)
            Xml.SubElement(tuned, "global_quota").text = str(PERIOD * self.limits.cpu_percent // 100)
        system = Xml.SubElement(domain, "os")
        Xml.SubElement(system, "type", machine=self._board.machine).text = "hvm"
        self.boot(system, files, probe_args)
        features = Xml.SubElement(domain, "features")
        for feature in self._board.features:
            Xml.SubElement(features, feature)
        self._board.add_cpu(domain, self.environment.domain_type)
        for event in ("on_poweroff", "on_reboot", "on_crash"):
            Xml.SubElement(domain, event).text = "destroy"
        devices = Xml.SubElement(domain, "devices")
        if files.disk:
            self.storage.add_to(domain, devices, files.disk, files.share, self.limits)
        Xml.SubElement(devices, "controller", type="usb", model="none")
        port = Xml.SubElement(devices, "serial", type="unix")
        Xml.SubElement(port, "source", mode="connect", path=files.serial)
        Xml.SubElement(port, "target", type=self._board.serial, port="0")
        log = Xml.SubElement(devices, "serial", type="file")
        Xml.SubElement(log, "source", path=files.console)
        Xml.SubElement(log, "target", type=self._board.log, port="1")
        Xml.SubElement(Xml.SubElement(devices, "video"), "model", type="none")
        Xml.SubElement(devices, "memballoon", model="none")
        return Xml.tostring(domain, encoding="unicode")

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[GuestInstance]:
        with MemoryWatch() as memory, self.next_folder() as (name, folder):
            files = Files(f"{short(folder / 'serial')}", f"{folder}/console")
            arguments = launch.arguments
            if launch.needs_disk:
                files = self._with_disk(files, folder, launch)
            elif launch.disk is not None:
                self._check_modules()
                files, arguments = files._replace(disk=str(launch.disk.file)), ("exec", "/probe", *arguments)
            xml = self._sized(launch).domain_xml(name, files, arguments)
            instance = self.instance(name, folder, launch.timeout, idle=launch.is_idle)
            try:
                self.start(instance, xml, launch.timeout)
                memory.look_at(instance.qemu)
                yield instance
            finally:
                instance.destroy()

    def _sized(self, launch: Launch) -> GuestSandbox:
        """This sandbox with the CPUs, the memory, the limits and the kind of disk that an instance is given."""
        other = copy.copy(self)
        if launch.disk is not None:
            other.storage = self.storage._replace(kind=launch.disk.format)
        other.limits = launch.limits
        other.cpus = launch.cpus or self.cpus
        other.memory_mib = launch.memory_bytes >> 20 or self.memory_mib
        return other

    def start(self, instance: GuestInstance, xml: str, timeout: float) -> None:
        """Start a guest; also remember whether guests of this kind become ready, and what can be observed of them."""
        kind = self.environment.boots_like
        instance.daemons = self.daemons()
        try:
            instance.start(xml)
        except (DeadlineExceeded, GaveUp) as error:
            gave_up = isinstance(error, GaveUp)
            if not gave_up:
                error.remedy = _remedy(self.environment.domain_type)
            if self.speaks_for_others and (gave_up or timeout >= deadlines.ready()):
                _heard.setdefault(kind, (f"{error.reason} (found with {self.environment.name})", error.remedy))
            raise
        _heard[kind] = ("", "")
        if not self._looked:
            self.look_at(instance.qemu)

    def instance(self, name: str, folder: Path, timeout: float, *, idle: bool) -> GuestInstance:
        """An instance that has not been started yet."""
        return GuestInstance(self.connected(), name, folder, timeout, idle=idle)

    def _with_disk(self, files: Files, folder: Path, launch: Launch) -> Files:
        """A fresh copy of the image, and a fresh shared folder, for one instance."""
        self._check_modules()
        disk, share = folder / "disk", folder / "data"
        copy_disk(disk, self.storage.kind, launch.root)
        with_arguments(folder / "initramfs", launch.arguments, (*self.storage.modules, *self.modules))
        give_to_qemu(disk)
        if self.storage.share:
            share.mkdir()
            give_to_qemu(share)
        shared = str(share) if self.storage.share else ""
        return files._replace(disk=str(disk), initrd=f"{folder}/initramfs", share=shared)

    def _check_modules(self) -> None:
        """Raise `MeasurementError` if the kernel lacks what a disk needs."""
        if self._no_disk is not None:
            raise MeasurementError(f"no disk for this guest: {self._no_disk.reason}", remedy=self._no_disk.remedy)

    def disks(self) -> GuestDisks:
        """Disks that are made for instances (`isobench.contracts.capabilities.MakesDisks`)."""
        if self._disks is None:
            self._disks = GuestDisks(self._workdir)
        return self._disks

    @contextmanager
    def next_folder(self) -> Iterator[tuple[str, Path]]:
        """The next instance's name and its own folder, which is removed even if the instance was never created."""
        number = next(self._numbers)
        folder = self._workdir / f"{number}"
        folder.mkdir(mode=0o711)
        try:
            yield f"{self._workdir.parent.name}-{self.environment.name}-{number}", folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _no_kvm() -> Unavailable:
    """Why /dev/kvm cannot be used, and the remedy on this host."""
    if os.path.exists("/dev/kvm"):  # noqa: PTH110
        remedy = as_root("give it to this container: --device /dev/kvm", "join the group kvm")
        return Unavailable("no permission to use /dev/kvm", remedy=remedy)
    if virtualises():
        load = "modprobe kvm_intel or kvm_amd; for a container use --device /dev/kvm"
        return Unavailable("there is no /dev/kvm", remedy=load)
    nested = "enable virtualisation in the firmware; in a virtual machine, nested virtualisation on its host"
    return Unavailable("there is no /dev/kvm", remedy=nested)


def _remedy(domain_type: str) -> str:
    """The remedy for a guest that did not become ready."""
    if domain_type == "kvm" and not virtualises():
        return "enable virtualisation in the firmware: /proc/cpuinfo shows neither vmx nor svm"
    return "if the host is only slow, use --timeout 10m"
