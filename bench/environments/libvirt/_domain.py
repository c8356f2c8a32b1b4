"""One domain: created, awaited on its serial port, watched, destroyed."""

from __future__ import annotations

import io
import os
import select
import shutil
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from isobench.core import deadlines
from isobench.core.errors import DeadlineExceeded, MeasurementError
from isobench.core.streams import DeadlineReader
from isobench.environments.libvirt._connection import bounded, libvirt
from isobench.environments.libvirt._daemons import give_to_qemu, qemu_pid, root_of_daemon, virtiofsd_pids
from isobench.environments.libvirt._traces import remove_traces_of
from isobench.filesystem.files import tail
from isobench.filesystem.paths import short
from isobench.processes.accounting import cpu_seconds
from isobench.resources.use import Use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, BinaryIO

    from isobench.contracts.environment import Role

_BOOTED = b"+"
"""What the guest's user space writes before anything else; it separates the kernel's share of the boot from its own."""

_END_SECONDS = 40.0
"""How long libvirt may take to end a domain and to forget it: it waits 15 s for a QEMU that does not end at once."""

_KILLED_SECONDS = 10.0
"""How long a killed QEMU may take to end."""

_LOOK_SECONDS = 5.0
"""How long libvirt may take to report the state of a domain that is not ready yet; it is asked every second."""

_PEEK, _DO_NOT_WAIT = 0x02, 0x40
"""MSG_PEEK and MSG_DONTWAIT of sys/socket.h."""


class GaveUp(MeasurementError):
    """QEMU stopped the guest by an error of its own (`internal-error`): its KVM cannot go on here."""


class GuestInstance:
    """One domain (`isobench.contracts.environment.Instance`)."""

    daemons: Sequence[int] = ()
    """The processes that serve every guest."""

    def __init__(self, connection: Any, name: str, folder: Path, timeout: float, *, idle: bool) -> None:
        """`idle`: the guest does nothing until it is released."""
        self._connection = connection
        self._idle = idle
        self._name = name
        self._folder = folder
        self._engine: dict[int, float] = {}
        self._deadline = time.monotonic() + timeout
        self._domain: Any = None
        self._failure: Exception | None = None
        self.qemu = 0
        self._helpers: list[int] = []
        self._pidfd = -1
        self._status: int | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._serial: socket.socket | None = None
        self._creator = threading.Thread()
        self.stdin: BinaryIO = io.BytesIO()
        self.stdout: BinaryIO = io.BytesIO()
        self.events: dict[str, int] = {}
        self.cpu: dict[str, float] = {}

    def start(self, xml: str) -> None:
        """Call createXML in a thread of its own, because it has no deadline; wait for the first byte here."""
        self._listener.bind(str(short(self._folder / "serial")))
        give_to_qemu(self._folder / "serial")
        give_to_qemu(self._folder)
        self._listener.listen(1)
        self._engine = {pid: cpu_seconds(pid) for pid in self.daemons}
        self._creator = threading.Thread(target=self._create, args=(xml,), daemon=True)
        self.events["requested"] = time.monotonic_ns()
        self._creator.start()
        self._serial = self._accept()
        ready = self._await_ready(self._serial)
        self._check_alive()
        self._creator.join(max(0.0, self._deadline - time.monotonic()))
        if self.events.get("created", ready) >= ready:  # a null kernel can be ready before libvirt has answered
            self.events.pop("created", None)
        self.events["ready"] = ready
        self.stdout = io.BufferedReader(DeadlineReader(os.dup(self._serial.fileno()), self._deadline))
        self.stdin = cast("BinaryIO", self._serial.makefile("wb", buffering=0))
        self.qemu = qemu_pid(self._name)
        if self.qemu:
            self._helpers = virtiofsd_pids(self._folder / "data")
            self._watch_end()

    def _watch_end(self) -> None:
        """A guest may have ended by itself since its first byte; its output can still be read."""
        try:
            self._pidfd = os.pidfd_open(self.qemu)
        except ProcessLookupError:
            self.qemu = 0
            if self._idle:
                raise MeasurementError("QEMU ended before its guest was released", console=self.console()) from None

    def host_pids(self) -> Mapping[int, Role]:
        """QEMU is the payload: the guest is inside it. A process that serves a shared folder is a helper."""
        pids: dict[int, Role] = dict.fromkeys(self._helpers, "helper")
        return {self.qemu: "payload", **pids} if self.qemu else pids

    use_told_by = "libvirt: virConnectGetAllDomainStats, as of virsh domstats"

    def use(self) -> Use:
        """Its CPU time and memory as libvirt reports them (`isobench.contracts.capabilities.TellsUse`)."""
        wanted = libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON
        try:
            told = bounded(lambda: self._connection.domainListGetStats([self._domain], wanted))[0][1]
            return Use(int(told["cpu.time"]) / 1e9, int(told["balloon.rss"]) << 10)
        except (libvirt.libvirtError, LookupError, TypeError, ValueError) as error:
            raise MeasurementError(f"libvirt does not tell what it uses: {error}") from error

    def wait(self) -> int:
        if self._status is None:
            self._check_still_there()
            if self._helpers:
                self.cpu["helper"] = sum(map(cpu_seconds, self._helpers))
            if self.qemu:
                self.cpu["payload"] = cpu_seconds(self.qemu)  # not at its end: it is not a child of this process
            self.events["released"] = time.monotonic_ns()
            with suppress(OSError):  # a working verb may have powered off by itself
                self.stdin.write(b"\n")
            self._await_exit()
            self.events["exited"] = time.monotonic_ns()
            self._status = 0
        return self._status

    def destroy(self) -> None:
        """Destroy the domain if it still exists, wait until libvirt has forgotten it, remove its files."""
        if self._creator.ident is not None:
            self._creator.join(deadlines.stretched(10))
        hung: Exception | None = None
        try:
            bounded(self._end, deadlines.stretched(_END_SECONDS))
        except DeadlineExceeded as error:
            hung = error
            self._kill()
        for stream in (self.stdout, self.stdin, self._serial, self._listener):
            if stream is not None:
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self.events["gone"] = time.monotonic_ns()
        if self._engine:
            self.cpu["engine"] = sum(max(0.0, cpu_seconds(pid) - before) for pid, before in self._engine.items())
        if self._pidfd >= 0:
            os.close(self._pidfd)
        run = self._folder.parents[1].name
        remove_traces_of(self._name, run, root_of_daemon())  # not timed: libvirt itself would leave them
        if hung is not None and self._status is not None:  # otherwise the cell has failed with a reason already
            raise hung

    def _end(self) -> None:
        if self._status is None:
            self._end_domain()
        self._await_forgotten()

    def _end_domain(self) -> None:
        """Through libvirt; if libvirt has forgotten it or does not answer, by killing QEMU's process."""
        with suppress(libvirt.libvirtError):
            if self._domain is not None:
                self._domain.destroy()
                return
        self._kill()

    def _kill(self) -> None:
        """Kill QEMU's process and wait until it has ended: the kernel frees a guest's memory first."""
        pid = qemu_pid(self._name)
        if pid:
            with suppress(ProcessLookupError):
                process = os.pidfd_open(pid)
                try:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    poll = select.poll()
                    poll.register(process, select.POLLIN)
                    poll.poll(deadlines.stretched(_KILLED_SECONDS) * 1000)
                finally:
                    os.close(process)

    def _check_still_there(self) -> None:
        """Raise if an idle guest ended by itself."""
        poll = select.poll()
        if self._idle and self._pidfd >= 0:
            poll.register(self._pidfd, select.POLLIN)
            if poll.poll(0):
                raise MeasurementError("QEMU ended before its guest was released", console=self.console())

    def _create(self, xml: str) -> None:
        try:
            self._domain = self._connection.createXML(xml, libvirt.VIR_DOMAIN_START_AUTODESTROY)
            self.events["created"] = time.monotonic_ns()
        except Exception as error:  # whatever it is, the thread that waits for the guest has to learn of it
            self._failure = error

    def _accept(self) -> socket.socket:
        self._poll(self._listener)
        return self._listener.accept()[0]

    def _await_ready(self, serial: socket.socket) -> int:
        """When the first byte of the program itself arrived; also stamps `booted` if the guest sends it."""
        self._poll(serial)
        arrived = time.monotonic_ns()
        if serial.recv(1, _PEEK) == _BOOTED:
            self.events["booted"] = arrived
            serial.recv(1)
            self._poll(serial)
            arrived = time.monotonic_ns()
        return arrived

    def _poll(self, what: socket.socket) -> None:
        """Wait until there is something to read, and check once a second that the guest is still alive."""
        poll = select.poll()
        poll.register(what, select.POLLIN)
        while not poll.poll(1000):
            self._check_alive()
            if time.monotonic() > self._deadline:
                waited = (time.monotonic_ns() - self.events["requested"]) / 1e9
                raise DeadlineExceeded(
                    f"deadline: the guest was not ready after {waited:.0f} s", console=self.console()
                )

    def _check_alive(self) -> None:
        """Raise if libvirt refused the domain, or if QEMU has stopped it or ended."""
        if self._failure is not None:
            raise MeasurementError(f"libvirt cannot start the domain: {self._failure}", console=self.console())
        if self._serial is not None:
            with suppress(BlockingIOError):
                if not self._serial.recv(1, _PEEK | _DO_NOT_WAIT):
                    self._creator.join(deadlines.stretched(5))
                    reason = f": {self._failure}" if self._failure else ""
                    raise MeasurementError(f"the guest ended before it was ready{reason}", console=self.console())
        if self._domain is None:
            return
        with suppress(libvirt.libvirtError, DeadlineExceeded):
            state, reason = bounded(self._domain.state, deadlines.stretched(_LOOK_SECONDS))
            if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_CRASHED):
                by_itself = (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN)
                kind = GaveUp if by_itself else MeasurementError  # a full disk, a dump, a user have their own reasons
                raise kind(f"QEMU stopped the guest (state {state}, reason {reason})", console=self.console())

    def _await_exit(self) -> None:
        if self._pidfd < 0:
            return
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            raise DeadlineExceeded("the guest did not exit when released", console=self.console())

    def _await_forgotten(self) -> None:
        deadline = time.monotonic() + deadlines.stretched(15)
        with suppress(libvirt.libvirtError):
            while time.monotonic() < deadline:
                self._connection.lookupByName(self._name)
                time.sleep(0.001)

    def console(self) -> str:
        """The last of the guest kernel's messages."""
        return tail(self._folder / "console", 2000)
