"""A driver that runs on the host and reaches the server in the instance through the environment's own network path.

It runs in the same root file system, unpacked into memory, in a mount and a PID namespace of its own: if this process
ends for any reason, so does the driver, and nothing remains.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from isobench.contracts.answers import next_answer
from isobench.contracts.capabilities import PublishesPort
from isobench.contracts.path import own_namespace, paths_to
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.core.remedies import as_root
from isobench.core.streams import DeadlineReader
from isobench.probe.on_host import lay_veth
from isobench.processes.accounting import text_of
from isobench.processes.endings import ENDS_WITH_US

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.path import Path as NetworkPath

_SCRIPT = """set -e
exec 3< "$1"; at=$2; on=$3; shift 3
mount -t tmpfs -o mode=755 none "$at"
tar --extract --numeric-owner --preserve-permissions --file=- --directory="$at" <&3
exec 3<&-
mount --rbind /dev "$at/dev"; mount -t proc proc "$at/proc"
ISOBENCH_ROOT=$at exec taskset --cpu-list "$on" "$at/probe" run "$@" """
_CONNECTED_SECONDS = 10.0
"""Seconds that a path may stay silent: a guest's address may not answer yet."""


def port_for(sandbox: Sandbox, wanted: int) -> int:
    """The port at which the server has to listen: the one that the environment publishes, else the wanted one, or any
    free one if that is in use on the host."""
    if isinstance(sandbox, PublishesPort):
        return sandbox.published_port
    for port in (wanted, 0):
        with suppress(OSError), socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("", port))
            return int(tried.getsockname()[1])
    raise MeasurementError(f"no TCP port can be had on this host (port {wanted} was tried first)")


def path_to(instance: Instance, port: int) -> NetworkPath:
    """The first path on which the server accepts connections from the host. Raises `MeasurementError`."""
    tried = []
    for path in paths_to(instance, _addresses(instance), lay_veth):
        try:
            _connect(path.address, path.ports.get("tcp", port))
        except OSError as error:
            tried.append(f"{path.words}: {error.strerror or error}")
        else:
            return path
    said = "; ".join(tried) or "the instance has no network card"
    remedy = "the server has to listen at all addresses (0.0.0.0), at $PORT"
    raise MeasurementError(f"no path from the host to the server: {said}", remedy=remedy if tried else "")


def _connect(address: str, port: int) -> None:
    until = time.monotonic() + deadlines.stretched(_CONNECTED_SECONDS)
    while True:
        try:
            with socket.create_connection((address, port), timeout=max(0.1, until - time.monotonic())):
                return
        except ConnectionRefusedError:  # the server is ready: nobody will listen there
            raise
        except OSError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def _addresses(instance: Instance) -> list[str]:
    """The IPv4 addresses in the instance's own network namespace, other than its loopback's."""
    own = own_namespace(instance)
    return local_addresses(text_of(f"/proc/{own}/net/fib_trie")) if own else []


def local_addresses(trie: str) -> list[str]:
    """The local addresses in the text of /proc/net/fib_trie, once each and in its order."""
    found = re.findall(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL", trie)
    return [address for address in dict.fromkeys(found) if not address.startswith("127.")]


def cpus_of_the_driver(given: int) -> tuple[list[int], bool]:
    """The host's CPUs for the driver if the instance gets the first `given`, and whether the driver has them alone. If
    the host has no others, it shares all of them."""
    may = sorted(os.sched_getaffinity(0))
    return (may[given:], True) if len(may) > given else (may, False)


class Driver:
    """One driver on the host. Entering waits for its root file system; `step` runs its next step."""

    def __init__(self, archive: Path, words: Sequence[str], cpus: Sequence[int]) -> None:
        """`words` are steps of the probe's verb `run`."""
        on = ",".join(map(str, cpus))
        self._command = [
            *(*ENDS_WITH_US, "sh", "-c", _SCRIPT, "sh"),
            *(str(archive), str(archive.parent), on, *words),
        ]

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
        )
        assert self._process.stdout is not None
        until = time.monotonic() + deadlines.scaled()
        self._said: BinaryIO = DeadlineReader(os.dup(self._process.stdout.fileno()), until)  # type: ignore[assignment]
        try:
            ready = self._said.readline(_MOST_READY)
        except BaseException:
            self._end()
            raise
        if ready != _READY:
            reason = f"the driver cannot be run on the host: {self._end()}"
            may_not = re.search("not permitted|denied", reason)
            raise MeasurementError(reason, remedy=as_root("give this container CAP_SYS_ADMIN") if may_not else "")
        return self

    def step(self) -> dict[str, Any]:
        """Run the next step; returns the probe's answer. Raises `DeadlineExceeded`, `ProbeError`."""
        assert self._process.stdin is not None
        with suppress(OSError):  # one that has ended says why
            self._process.stdin.write(b"\n")
        return next_answer(self._said)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> str:
        """Kill it and close its streams; returns the last line that it wrote to standard error."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _, errors = self._process.communicate()  # closes them, too
        self._said.close()
        lines = errors.decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it ended"


_READY, _MOST_READY = b"ready\n", 100
