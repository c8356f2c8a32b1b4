"""Virtual machines through libvirt: one domain, with or without KVM, with a Linux kernel or the null kernel.

A transient domain that dies with its client, booted directly, its first serial port connected to a socket of the
harness, so that the first byte arrives without a hop. Nothing stands in for anything else: without KVM it is `tcg`.
"""

from __future__ import annotations

import io
import itertools
import os
import select
import signal
import threading
import time
from collections import namedtuple
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from bench.accounting import cpu_seconds, peer_pid, pids_with
from bench.environment import DEFAULT_TIMEOUT, PROBE, READY, ROOTFS
from bench.environments._storage import Storage

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any, BinaryIO
    from xml.etree.ElementTree import Element

    from bench.environment import Layer, Role

DEFAULT_URI = "qemu:///system"
MEMORY_MIB = 192
BOOT_SECONDS = {"qemu": 60.0, "kvm": 10.0}
"""A guest that has not said ready by then never will; TCG takes five on the slowest hosts seen, KVM under two."""

_BOOTED = b"+"
"""What the guest's user space writes before anything else, so that the kernel's part can be told from its own."""

_DISK_VERBS = frozenset({"fio", "meta", "map"})
"""The probe's verbs that want the root file system; for all others the guest has no disk."""

_PEEK, _DO_NOT_WAIT = 0x02, 0x40
"""MSG_PEEK and MSG_DONTWAIT of sys/socket.h."""

_KERNEL_ARGUMENTS = "console=ttyS1 quiet panic=-1 reboot=t"
"""Kernel messages go to the second serial port, a file; a panic ends the domain at once."""


class Guest:
    """One kind of virtual machine (`bench.environment.Environment`)."""

    layer: Layer = "vm"

    def __init__(
        self,
        name: str,
        title: str,
        adds: str,
        compared_with: str | None,
        *,
        domain_type: str,
        null: bool = False,
        storage: Storage | None = None,
        single_factor: bool = True,
        groups: tuple[str, ...] = ("default", "ladder", "vms"),
    ) -> None:
        self.name = name
        self.title = title
        self.adds = adds
        self.compared_with = compared_with
        self.domain_type = domain_type
        self.null = null
        self.storage = storage or Storage()
        self.layer: Layer = "vmm" if null else "vm"
        self.single_factor = single_factor and compared_with is not None
        self.groups = frozenset(groups)
        if null:
            self.offers = frozenset({READY})

    offers = frozenset({READY, PROBE, ROOTFS})

    def sandbox(self, connection: Any, workdir: Path) -> GuestSandbox:
        """What `open` gives."""
        return GuestSandbox(connection, self, workdir)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[GuestSandbox]:
        from bench.errors import Unavailable

        if self.domain_type == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            reason = "no permission to use /dev/kvm" if os.path.exists("/dev/kvm") else "there is no /dev/kvm"  # noqa: PTH110
            raise Unavailable(reason, remedy="enable virtualisation in the firmware, modprobe kvm, join the group kvm")
        connection = connect()
        try:
            yield self.sandbox(connection, workdir)
        finally:
            with suppress(Exception):
                connection.close()


def connect() -> Any:
    """A connection to libvirt at ISOBENCH_LIBVIRT_URI, or to the system's. Raises `Unavailable`."""
    from bench.errors import Unavailable

    try:
        import libvirt
    except ImportError as error:
        raise Unavailable("libvirt-python is not installed", remedy="pip install 'isobench[libvirt]'") from error
    libvirt.registerErrorHandler(lambda *_: None, None)  # it prints every error to stderr otherwise
    uri = os.environ.get("ISOBENCH_LIBVIRT_URI", DEFAULT_URI)
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        reason = f"no libvirt answers at {uri}: {error}"
        raise Unavailable(reason, remedy="systemctl start libvirtd, or isobench run after provisioning") from error


Files = namedtuple("Files", ["serial", "console", "disk", "initrd", "share"], defaults=["", "", ""])
"""The paths of one instance: socket and log of its serial ports; disk, initramfs and a folder that the host shares,
each its own, where it has them."""


class GuestSandbox:
    """What every instance boots: kernel, initramfs, and the image of its disk."""

    memory_mib = MEMORY_MIB
    modules: tuple[str, ...] = ()
    """Kernel modules beside those of its storage."""

    @property
    def memory_bytes(self) -> int:
        """What a guest is given: an instance of another mechanism has what its host has."""
        return self.memory_mib << 20

    def __init__(self, connection: Any, environment: Guest, workdir: Path) -> None:
        self.connection = connection
        self.environment = environment
        self.storage = environment.storage
        self._workdir = workdir
        self._numbers = itertools.count(1)  # also from several threads
        self.find_kernel()

    def find_kernel(self) -> None:
        """Untimed: what the guest boots."""
        from bench.images.initramfs import initramfs
        from bench.images.kernel import guest_kernel
        from bench.images.nullkernel import null_kernel

        if self.environment.null:
            self._kernel, self._initramfs, self._origin = null_kernel(), None, "the null kernel"
        else:
            kernel = guest_kernel()
            self._kernel, self._initramfs = kernel.image, initramfs((*self.storage.modules, *self.modules))
            self._origin = f"{kernel.version}, {kernel.origin}"

    def kernel_fact(self) -> str:
        """Which kernel, and where it comes from."""
        return self._origin

    def boot(self, system: Element, files: Files, probe_args: tuple[str, ...]) -> None:
        """The part of the domain that says what is booted: a kernel, directly, the probe its init."""
        from xml.etree import ElementTree as Xml

        Xml.SubElement(system, "kernel").text = str(self._kernel)
        if self._initramfs is not None:
            Xml.SubElement(system, "initrd").text = files.initrd or str(self._initramfs)
            verb = ("disk", *self.storage.words, "arguments") if files.disk else (*self.words(files), *probe_args)
            Xml.SubElement(system, "cmdline").text = " ".join([_KERNEL_ARGUMENTS, "--", "guest", *verb])

    def words(self, files: Files) -> tuple[str, ...]:
        """What the probe as init is told before the verb (bench/probe/guest.c)."""
        return ()

    def connected(self) -> Any:
        """The connection, made anew where its daemon has gone: a run outlives a restart of libvirtd."""
        import libvirt

        from bench.errors import MeasurementError, Unavailable

        try:
            self.connection.getLibVersion()
        except libvirt.libvirtError:
            with suppress(libvirt.libvirtError):
                self.connection.close()
            try:
                self.connection = connect()
            except Unavailable as error:
                raise MeasurementError(error.reason) from error
        return self.connection

    def facts(self) -> Mapping[str, str]:
        """Without a disk where none is offered."""
        connection, disk = self.connected(), ROOTFS in self.environment.offers
        version, library = connection.getVersion(), connection.getLibVersion()
        return {
            "version.qemu": f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}",
            "version.libvirt": f"{library // 1000000}.{library // 1000 % 1000}.{library % 1000}",
            "kernel": self.kernel_fact(),
            "memory": f"{self.memory_mib} MiB",
            "storage": self.storage.description if disk else "",
            "domain": self.domain_xml("NAME", Files("SOCKET", "CONSOLE"), ("ready",)),
            "domain.disk": self.disk_domain() if disk else "",
        }

    def disk_domain(self) -> str:
        """The domain of an instance whose verb wants the disk, with words in the place of what is each instance's."""
        files = Files("SOCKET", "CONSOLE", "DISK", "INITRAMFS", "FOLDER" if self.storage.share else "")
        return self.domain_xml("NAME", files, ("fio",))

    def domain_xml(self, name: str, files: Files, probe_args: tuple[str, ...]) -> str:
        """The whole domain. What libvirt would add by itself and nothing here wants is switched off."""
        from xml.etree import ElementTree as Xml

        domain = Xml.Element("domain", type=self.environment.domain_type)
        Xml.SubElement(domain, "name").text = name
        Xml.SubElement(domain, "memory", unit="MiB").text = str(self.memory_mib)
        Xml.SubElement(domain, "vcpu").text = "1"
        system = Xml.SubElement(domain, "os")
        Xml.SubElement(system, "type", machine="q35").text = "hvm"
        self.boot(system, files, probe_args)
        features = Xml.SubElement(domain, "features")
        Xml.SubElement(features, "acpi")
        Xml.SubElement(features, "apic")
        for event in ("on_poweroff", "on_reboot", "on_crash"):
            Xml.SubElement(domain, event).text = "destroy"
        devices = Xml.SubElement(domain, "devices")
        if files.disk:
            self.storage.add_to(domain, devices, files.disk, files.share)
        Xml.SubElement(devices, "controller", type="usb", model="none")
        port = Xml.SubElement(devices, "serial", type="unix")
        Xml.SubElement(port, "source", mode="connect", path=files.serial)
        Xml.SubElement(port, "target", type="isa-serial", port="0")
        log = Xml.SubElement(devices, "serial", type="file")
        Xml.SubElement(log, "source", path=files.console)
        Xml.SubElement(log, "target", type="isa-serial", port="1")
        Xml.SubElement(Xml.SubElement(devices, "video"), "model", type="none")
        Xml.SubElement(devices, "memballoon", model="none")
        return Xml.tostring(domain, encoding="unicode")

    @contextmanager
    def launch(self, *probe_args: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[GuestInstance]:
        name, folder = self.next_name()
        files = Files(f"{folder}/serial", f"{folder}/console")
        if probe_args and probe_args[0] in _DISK_VERBS:
            files = self._with_disk(files, folder, probe_args)
        xml = self.domain_xml(name, files, probe_args)
        instance = self.instance(name, folder, timeout, idle=probe_args == ("ready",))
        try:
            instance.start(xml, BOOT_SECONDS[self.environment.domain_type])
            yield instance
        finally:
            instance.destroy()

    def instance(self, name: str, folder: Path, timeout: float, *, idle: bool) -> GuestInstance:
        """One that is not yet started."""
        return GuestInstance(self.connected(), name, folder, timeout, idle=idle)

    def _with_disk(self, files: Files, folder: Path, probe_args: tuple[str, ...]) -> Files:
        """A fresh copy of the image, and a fresh folder to share, for one instance."""
        from bench.images.disk import copy_disk
        from bench.images.initramfs import with_arguments

        disk, share = folder / "disk", folder / "data"
        copy_disk(disk, self.storage.kind)
        with_arguments(folder / "initramfs", probe_args, self.storage.modules)
        give_to_qemu(disk)
        if self.storage.share:
            share.mkdir()
            give_to_qemu(share)
        shared = str(share) if self.storage.share else ""
        return files._replace(disk=str(disk), initrd=f"{folder}/initramfs", share=shared)

    def next_name(self) -> tuple[str, Path]:
        """The next instance's name, and a folder of its own."""
        number = next(self._numbers)
        folder = self._workdir / f"{number}"
        folder.mkdir(mode=0o711)
        return f"{self._workdir.parent.name}-{self.environment.name}-{number}", folder


class GuestInstance:
    """One domain (`bench.environment.Instance`)."""

    def __init__(self, connection: Any, name: str, folder: Path, timeout: float, *, idle: bool) -> None:
        """`idle` says that the guest does nothing before it is told to finish."""
        self._connection = connection
        self._idle = idle
        self._name = name
        self._folder = folder
        self._deadline = time.monotonic() + timeout
        self._domain: Any = None
        self._failure: Exception | None = None
        self.qemu = 0
        self._helpers: list[int] = []
        self._pidfd = -1
        self._status: int | None = None
        import socket

        self._listener = socket.socket(socket.AF_UNIX)
        self._serial: socket.socket | None = None
        self._creator = threading.Thread()
        self.stdin: BinaryIO = io.BytesIO()
        self.stdout: BinaryIO = io.BytesIO()
        self.events: dict[str, int] = {}
        self.cpu: dict[str, float] = {}

    def start(self, xml: str, boot_seconds: float) -> None:
        """createXML in a thread of its own, because it has no deadline; the first byte is awaited here."""
        from bench.streams import DeadlineReader

        self._listener.bind(f"{self._folder}/serial")
        give_to_qemu(self._folder / "serial")
        give_to_qemu(self._folder)
        self._listener.listen(1)
        self._libvirtd = peer_pid(_daemon_socket())
        self._libvirtd_before = cpu_seconds(self._libvirtd)
        self._creator = threading.Thread(target=self._create, args=(xml,), daemon=True)
        boot_deadline = min(self._deadline, time.monotonic() + boot_seconds)
        self.events["requested"] = time.monotonic_ns()
        self._creator.start()
        self._serial = self._accept(boot_deadline)
        ready = self._await_ready(self._serial, boot_deadline)
        self._check_alive()
        self._creator.join(max(0.0, self._deadline - time.monotonic()))
        if self.events.get("created", ready) >= ready:  # a null kernel can speak before libvirt has answered
            self.events.pop("created", None)
        self.events["ready"] = ready
        self.stdout = io.BufferedReader(DeadlineReader(os.dup(self._serial.fileno()), self._deadline))
        self.stdin = cast("BinaryIO", self._serial.makefile("wb", buffering=0))
        self.qemu = _qemu_pid(self._name)
        if self.qemu:
            self._pidfd = os.pidfd_open(self.qemu)
            self._helpers = virtiofsd_pids(self._folder / "data")

    def host_pids(self) -> Mapping[int, Role]:
        """QEMU is the payload: the guest is inside it. What serves a shared folder is a helper."""
        pids: dict[int, Role] = dict.fromkeys(self._helpers, "helper")
        return {self.qemu: "payload", **pids} if self.qemu else pids

    def wait(self) -> int:
        if self._status is None:
            self._check_still_there()
            if self._helpers:
                self.cpu["helper"] = sum(map(cpu_seconds, self._helpers))
            self.cpu["payload"] = cpu_seconds(self.qemu)  # its end cannot be seen: it is no child of ours
            self.events["released"] = time.monotonic_ns()
            with suppress(OSError):  # a working verb may have powered off by itself
                self.stdin.write(b"\n")
            self._await_exit()
            self.events["exited"] = time.monotonic_ns()
            self._status = 0
        return self._status

    def destroy(self) -> None:
        """Destroy the domain if it is still there, wait until libvirt knows it no longer, remove its files."""
        import shutil

        if self._creator.ident is not None:
            self._creator.join(10)
        if self._status is None:
            self._end_domain()
        self._await_forgotten()
        for stream in (self.stdout, self.stdin, self._serial, self._listener):
            if stream is not None:
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self.events["gone"] = time.monotonic_ns()
        self.cpu["engine"] = max(0.0, cpu_seconds(self._libvirtd) - self._libvirtd_before)
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def _end_domain(self) -> None:
        """Through libvirt; where libvirt knows it no longer, or does not answer, by QEMU's own process."""
        import libvirt

        with suppress(libvirt.libvirtError):
            if self._domain is not None:
                self._domain.destroy()
                return
        pid = _qemu_pid(self._name)
        if pid:
            os.kill(pid, signal.SIGKILL)

    def _check_still_there(self) -> None:
        """A guest that waits for the word does not end by itself."""
        from bench.errors import MeasurementError

        poll = select.poll()
        if self._idle and self._pidfd >= 0:
            poll.register(self._pidfd, select.POLLIN)
            if poll.poll(0):
                raise MeasurementError("QEMU ended before it was told to finish", console=self.console())

    def _create(self, xml: str) -> None:
        import libvirt

        try:
            self._domain = self._connection.createXML(xml, libvirt.VIR_DOMAIN_START_AUTODESTROY)
            self.events["created"] = time.monotonic_ns()
        except libvirt.libvirtError as error:
            self._failure = error

    def _accept(self, deadline: float) -> socket.socket:
        self._poll(self._listener, deadline)
        return self._listener.accept()[0]

    def _await_ready(self, serial: socket.socket, deadline: float) -> int:
        """The moment of the first byte that the program itself sends; stamps booted on the way, where there is that."""
        self._poll(serial, deadline)
        arrived = time.monotonic_ns()
        if serial.recv(1, _PEEK) == _BOOTED:
            self.events["booted"] = arrived
            serial.recv(1)
            self._poll(serial, deadline)
            arrived = time.monotonic_ns()
        return arrived

    def _poll(self, what: socket.socket, deadline: float) -> None:
        """Wait until there is something to read. Looks up now and then whether there is still something to wait for."""
        from bench.errors import DeadlineExceeded

        poll = select.poll()
        poll.register(what, select.POLLIN)
        while not poll.poll(1000):
            self._check_alive()
            if time.monotonic() > deadline:
                waited = (time.monotonic_ns() - self.events["requested"]) / 1e9
                raise DeadlineExceeded(
                    f"deadline: the guest was not ready after {waited:.0f} s", console=self.console()
                )

    def _check_alive(self) -> None:
        """Raise if libvirt refused the domain, or if QEMU has stopped it or ended."""
        import libvirt

        from bench.errors import MeasurementError

        if self._failure is not None:
            raise MeasurementError(f"libvirt cannot start the domain: {self._failure}", console=self.console())
        if self._serial is not None:
            with suppress(BlockingIOError):
                if not self._serial.recv(1, _PEEK | _DO_NOT_WAIT):
                    self._creator.join(5)
                    reason = f": {self._failure}" if self._failure else ""
                    raise MeasurementError(f"the guest ended before it was ready{reason}", console=self.console())
        if self._domain is None:
            return
        with suppress(libvirt.libvirtError):
            state, reason = self._domain.state()
            if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_CRASHED):
                raise MeasurementError(
                    f"QEMU stopped the guest (state {state}, reason {reason})", console=self.console()
                )

    def _await_exit(self) -> None:
        from bench.errors import DeadlineExceeded

        if self._pidfd < 0:
            return
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            raise DeadlineExceeded("the guest was told to finish and went on", console=self.console())

    def _await_forgotten(self) -> None:
        import libvirt

        deadline = time.monotonic() + 15
        with suppress(libvirt.libvirtError):
            while time.monotonic() < deadline:
                self._connection.lookupByName(self._name)
                time.sleep(0.001)

    def console(self) -> str:
        """The last lines of the guest kernel's messages."""
        with suppress(OSError):
            return (self._folder / "console").read_text(errors="replace")[-2000:]
        return ""


def sweep(run: str) -> list[str]:
    """Destroy the domains of a dead run, known by the run's name and a dash before theirs."""
    from bench.errors import MeasurementError, Unavailable

    try:
        connection = connect()
    except Unavailable:
        return []
    import libvirt

    removed = []
    try:
        for domain in connection.listAllDomains():
            if domain.name().startswith(f"{run}-"):
                with suppress(libvirt.libvirtError):  # it may end at this moment
                    domain.destroy()
                removed.append(f"domain {domain.name()}")
        connection.close()
    except libvirt.libvirtError as error:
        raise MeasurementError(f"cleaning up domains: {error}") from error
    return removed


def _daemon_socket() -> str:
    uri = os.environ.get("ISOBENCH_LIBVIRT_URI", DEFAULT_URI)
    return uri.partition("socket=")[2] or "/var/run/libvirt/libvirt-sock"


def _qemu_pid(name: str) -> int:
    """QEMU's process, known by the domain's name on its command line."""
    return next(iter(pids_with(f"guest={name},")), 0)


def virtiofsd_pids(folder: Path) -> list[int]:
    """virtiofsd's processes (it forks into its sandbox), known by the folder they share; none where it is not there."""
    return pids_with(f"{folder}", "virtiofsd") if folder.is_dir() else []


def give_to_qemu(path: Path) -> None:
    """Let the user that a system's libvirt runs QEMU as reach this file; nobody else gets in."""
    import pwd

    if os.geteuid() != 0:
        return
    path.chmod(0o700 if path.is_dir() else 0o600)
    for user in ("libvirt-qemu", "qemu"):
        with suppress(KeyError):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
            return


ENVIRONMENTS = (
    Guest("tcg-null", "QEMU without KVM, no kernel", "a VMM and firmware", None, domain_type="qemu", null=True),
    Guest("tcg", "QEMU without KVM", "a guest kernel and its user space", "tcg-null", domain_type="qemu"),
    Guest("kvm-null", "KVM, no kernel", "hardware virtualisation", "tcg-null", domain_type="kvm", null=True),
    Guest("kvm", "KVM", "a guest kernel and its user space", "kvm-null", domain_type="kvm"),
)
