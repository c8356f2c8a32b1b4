"""One Docker container: created, attached to, started, watched, removed; its streams and its first byte."""

from __future__ import annotations

import io
import os
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from isobench.core.errors import DeadlineExceeded, MeasurementError, OutOfMemory
from isobench.core.streams import DeadlineReader
from isobench.environments.docker._client import LABEL, engine_errors
from isobench.environments.docker._daemons import engine_pids, is_of
from isobench.environments.docker._leftovers import forget
from isobench.environments.docker._plain import plain
from isobench.environments.docker._sdk import docker
from isobench.probe.launcher import watch_netns
from isobench.processes.accounting import cpu_seconds, descendants, parent
from isobench.resources.use import Use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, BinaryIO

    from isobench.contracts.environment import Role
    from isobench.probe.launcher import NetnsWatch


class DockerInstance:
    """One container (`isobench.contracts.environment.Instance`)."""

    def __init__(self, client: Any, name: str, timeout: float, *, watch_end: bool) -> None:
        self._client = client
        self._name = name
        self._deadline = time.monotonic() + timeout
        self._id = ""
        self._pid = 0
        self._pidfd = -1
        self._status: int | None = None
        self._netns: NetnsWatch | None = watch_netns(timeout) if watch_end else None
        self._watching = False
        self.unseen = ""
        """Why its processes cannot be observed from here."""
        self._attached: Any = None
        self._stream: socket.socket | None = None
        self._errors = bytearray()
        self._engine = {pid: cpu_seconds(pid) for pid in self.engine()}
        self.stdin: BinaryIO = io.BytesIO()
        self.stdout: BinaryIO = io.BytesIO()
        self.events: dict[str, int] = {}
        self.cpu: dict[str, float] = {}

    def engine(self) -> list[int]:
        """The processes of the engine."""
        return engine_pids()

    def owns(self, pid: int) -> bool:
        """Whether this process, which the engine names, is the container's."""
        return is_of(pid, self._id)

    def start(self, image: str, run: str, command: list[str], host_config: Mapping[str, Any]) -> None:
        """create, attach, start; returns when the first byte has arrived."""
        with engine_errors("starting the container"):
            config = self._client.create_host_config(**host_config)
            self.events["requested"] = time.monotonic_ns()
            created = self._client.create_container(
                image, command, name=self._name, labels={LABEL: run}, stdin_open=True, host_config=config
            )
            self.events["created"] = time.monotonic_ns()
            self._id = created["Id"]
            parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            self._attached = self._client.attach_socket(self._id, params=parameters)
            self.events["attached"] = time.monotonic_ns()
            # The SDK returns a reader, but writing and polling need the socket. Of a TLS connection it returns that.
            reader = self._attached
            self._stream = stream = reader._sock if hasattr(reader, "_sock") else plain(reader)
            first = _FirstByte(stream, self._deadline)
            self.events["started"] = time.monotonic_ns()
            self._client.start(self._id)  # the program may speak before this returns
        ready = first.wait()
        self.stdout = io.BufferedReader(_Frames(stream, self._deadline, self._errors))
        self.stdin = cast("BinaryIO", stream.makefile("wb", buffering=0))
        self._look()
        if ready is None:
            self._raise_not_ready()
        else:
            self.events["ready"] = ready

    def host_pids(self) -> Mapping[int, Role]:
        """The processes in the container are the payload."""
        pids: dict[int, Role] = {pid: "payload" for pid in (self._pid, *descendants(self._pid)) if pid}
        return {**pids, **dict.fromkeys(self.helpers(), "helper")}

    def helpers(self) -> list[int]:
        """The processes that serve the container alone: its shim."""
        shim = parent(self._pid) if self._pid else 0
        return [shim] if shim > 1 else []

    def harness_pids(self) -> list[int]:
        """Processes of the harness for this container: they use the host's memory, but are no cost of isolation."""
        return [self._netns.pid] if self._netns is not None else []

    use_told_by = "the engine's API: stats, one-shot"

    def use(self) -> Use:
        """Its CPU time and memory as the engine reports them (`isobench.contracts.capabilities.TellsUse`)."""
        with engine_errors("asking for what it uses"):
            told = self._client.stats(self._id, stream=False, one_shot=True)
            return Use(int(told["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9, int(told["memory_stats"]["usage"]))

    def wait(self) -> int:
        if self._status is None:
            helpers = self.helpers()
            if self._pid:
                self.cpu["payload"] = cpu_seconds(self._pid)
            self._count(helpers)
            self.events["released"] = time.monotonic_ns()
            with suppress(OSError):  # a working verb may have ended by itself
                self.stdin.write(b"\n")
            exited = self._await_exit()
            self._count(helpers)
            with engine_errors("waiting for its end"):
                answer = self._client.wait(self._id, timeout=max(1.0, self._deadline - time.monotonic()))
            self.events["exited"] = exited or time.monotonic_ns()
            self.events["released"] = min(self.events["released"], self.events["exited"])
            self._status = int(answer["StatusCode"])
            if self._status:
                self._raise_if_out_of_memory()
        return self._status

    def _raise_if_out_of_memory(self) -> None:
        """Ask the engine: it also reports an OOM kill of a process that the first one started."""
        with engine_errors("inspecting the container"):
            found = self._client.inspect_container(self._id)
        if found["State"].get("OOMKilled"):
            limit = found["HostConfig"].get("Memory", 0)
            words = f"the container's limit is {limit / 2**20:.0f} MiB" if limit else "the host had none left"
            raise OutOfMemory(f"OOM-killed ({words})", console=self._console())

    def _count(self, helpers: Sequence[int]) -> None:
        """They end with the container, so they are read while they live. The runc that a shim started is its child."""
        if helpers:
            spent = sum(cpu_seconds(pid, with_children=True) for pid in helpers)
            self.cpu["helper"] = max(self.cpu.get("helper", 0.0), spent)

    def _remove(self) -> None:
        """Ask twice if the container ends by itself while the engine kills it: the engine refuses then (moby,
        daemon/delete.go)."""
        try:
            self._client.remove_container(self._id, force=True, v=True)
        except docker.errors.APIError as error:
            if "is not running" not in str(error):
                raise
            self._client.remove_container(self._id, force=True, v=True)

    def destroy(self) -> None:
        """Remove the container, whatever state it is in, and stamp when everything is gone."""
        try:
            if self._status is None:
                self._hang_up()
            if self._id:
                with engine_errors("removing the container"):
                    self._remove()
                self.events["removed"] = time.monotonic_ns()
                if self._status is None:
                    forget(self._id)
            ended = self._status is not None  # a container that was given up is not waited for
            watched = self._netns if self._watching and ended else None
            self.events["gone"] = watched.await_gone() if watched else time.monotonic_ns()
            spent = [cpu_seconds(pid) - before for pid, before in self._engine.items()]
            if spent:
                self.cpu["engine"] = sum(max(0.0, seconds) for seconds in spent)
        finally:
            self.stdout.close()
            self.stdin.close()
            if self._attached is not None:
                # The SDK's response closes its stream when it is garbage-collected. If that is closed already,
                # Python 3.13 prints an error for every container.
                getattr(self._attached, "_response", self._attached).close()
                self._attached.close()
            if self._stream is not None:
                self._stream.close()
            if self._netns is not None:
                self._netns.close()
            if self._pidfd >= 0:
                os.close(self._pidfd)

    def _hang_up(self) -> None:
        """Shut the connection to a container that was given up: while a client is attached and does not read its
        output, the engine does not remove it.

        Closing would not do, because the SDK's response keeps the socket open.
        """
        if self._stream is not None:
            with suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)

    def _look(self) -> None:
        """Between ready and released: find its init process, and the network namespace to watch."""
        with engine_errors("inspecting the container"):
            pid = int(self._client.inspect_container(self._id)["State"]["Pid"])
        if pid == 0:  # it has ended
            return
        if not self.owns(pid):
            self.unseen = f"the engine's process {pid} is not in this PID namespace: it runs elsewhere"
            return
        self._pid = pid
        with suppress(OSError):
            self._pidfd = os.pidfd_open(self._pid)
            own = os.readlink("/proc/self/ns/net") != os.readlink(f"/proc/{self._pid}/ns/net")  # noqa: PTH115
            if own and self._netns is not None:
                self._watching = self._netns.watch(self._pid)

    def _await_exit(self) -> int | None:
        """When its init process ended; None if it had ended before it was found."""
        if self._pidfd < 0:
            return None
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            raise DeadlineExceeded("the container did not exit when released", console=self._console())
        return time.monotonic_ns()

    def _raise_not_ready(self) -> None:
        with engine_errors("inspecting the container"):
            state = self._client.inspect_container(self._id)["State"]
        if state["Running"]:
            raise DeadlineExceeded("deadline: the container was not ready", console=self._console())
        self._raise_if_out_of_memory()
        raise MeasurementError(
            f"it exited with status {state['ExitCode']} before it was ready", console=self._console()
        )

    def _console(self) -> str:
        with suppress(Exception):
            return str(self._client.logs(self._id, tail=20).decode(errors="replace"))
        return self._errors.decode(errors="replace")


class _FirstByte:
    """Watches a socket from another thread and stamps when it has something to read."""

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self._stamp: int | None = None
        self._deadline = deadline
        self._thread = threading.Thread(target=self._watch, args=(stream,), daemon=True)
        self._thread.start()

    def _watch(self, stream: socket.socket) -> None:
        poll = select.poll()
        with suppress(OSError):  # the container was given up, and the connection closed
            poll.register(stream, select.POLLIN)
            if poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
                stamp = time.monotonic_ns()
                if stream.recv(1, socket.MSG_PEEK):
                    self._stamp = stamp

    def wait(self) -> int | None:
        self._thread.join()
        return self._stamp


class _Frames(io.RawIOBase):
    """Standard output from an attach stream, whose frames are an eight-byte header (kind, length) and data."""

    def __init__(self, stream: socket.socket, deadline: float, errors: bytearray) -> None:
        super().__init__()
        self._source = io.BufferedReader(DeadlineReader(os.dup(stream.fileno()), deadline))
        self._errors = errors
        self._left = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def] # the buffer protocol has no name in 3.11
        while self._left == 0:
            header = self._source.read(8)
            if len(header) < 8:
                return 0
            kind, length = struct.unpack(">BxxxL", header)
            if kind == 1:
                self._left = length
            else:
                self._errors += self._source.read(length)[: max(0, 8192 - len(self._errors))]
        data = self._source.read1(min(self._left, len(buffer)))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()
