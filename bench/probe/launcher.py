"""The Python side of `probe launch`: a small C process starts each instance of a native rung or command-line runtime.

The C side (bench/probe/launch.c) stamps every event, so the measured times do not depend on the size or language of
this process. It also cleans up: when its control socket closes, for whatever reason, it kills everything it started and
removes the cgroups it created.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, cast

from isobench.core import deadlines
from isobench.core.errors import DeadlineExceeded, IsobenchError, MeasurementError, OutOfMemory
from isobench.core.model import start_seconds
from isobench.core.streams import DeadlineReader
from isobench.probe.build import probe_path
from isobench.processes.accounting import descendants, process_name
from isobench.resources.use import UseFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from isobench.contracts.environment import Role
    from isobench.resources.use import Use

_GRACE = 5.0
"""Seconds after its deadline that a launcher may take to clean up before it is killed."""


class LaunchedInstance:
    """An instance started by the launcher (`isobench.contracts.environment.Instance`)."""

    def __init__(
        self, control: socket.socket, process: subprocess.Popen[bytes], deadline: float, pipes: _Pipes
    ) -> None:
        self._control = control
        self._process = process
        self._deadline = deadline
        self._pipes = pipes
        self.stdin = cast("BinaryIO", io.FileIO(pipes.feed, "w", closefd=False))
        self.stdout = cast("BinaryIO", io.BufferedReader(DeadlineReader(pipes.stdout, deadline)))
        self.events: dict[str, int] = {}
        self.cpu: dict[str, float] = {}
        self.steps: dict[str, float] = {}
        """Seconds that each isolating step of the start took, by name."""
        self.means: dict[str, int] = {}
        """What the launcher can use here (clone3, a child created inside its cgroup, a watch on network namespaces); 0
        if it is refused."""
        self.elsewhere: Mapping[int, Role] = {}
        """Processes of this instance that a daemon started, and which are therefore not the launcher's descendants."""
        self.watchers: list[int] = []
        self.pid = 0
        self._status: int | None = None

    def start(self) -> None:
        """Let the launcher start the program, and wait for the program's first byte."""
        self.means.update(self._expect("prepared"))
        self._control.send(b"go")
        answer = self._expect("ready")
        self.pid = answer["pid"]
        self.events.update((name, answer[name]) for name in ("requested", "created", "started", "ready"))
        self.steps.update((name, value / 1e9) for name, value in answer.items() if name.startswith("step-"))

    def host_pids(self) -> Mapping[int, Role]:
        """The probe is the payload, whatever started it; a runtime and its monitor are helpers."""
        living = descendants(self._process.pid)
        return {pid: "payload" if process_name(pid) == "probe" else "helper" for pid in living} | dict(self.elsewhere)

    def harness_pids(self) -> list[int]:
        """Processes of the harness for this instance: they use the host's memory, but are no cost of isolation."""
        return [self._process.pid, *self.watchers]

    @cached_property
    def _use(self) -> UseFiles:
        payload = next((pid for pid, role in self.host_pids().items() if role == "payload"), 0)
        return UseFiles(payload)

    @property
    def use_told_by(self) -> str:
        """The source of `use` (`isobench.contracts.capabilities.TellsUse`)."""
        return self._use.words

    def use(self) -> Use:
        """Its CPU time and memory. Raises `MeasurementError`."""
        return self._use.read()

    def wait(self) -> int:
        if self._status is None:
            with suppress(OSError):  # a working verb may have exited, and its launcher with it
                self._control.send(b"release")
            answer = self._expect("exited")
            self.events.update(released=answer["released"], exited=answer["exited"], gone=answer["gone"])
            self.cpu.update(payload=answer["cpu_payload_us"] / 1e6, launcher=answer["cpu_launcher_us"] / 1e6)
            self._status = answer["status"]
            if answer["oom"]:
                raise OutOfMemory("OOM-killed (its cgroup's limit was reached)", console=self.console())
        return self._status

    def destroy(self) -> None:
        """Kill whatever is left, and wait until the launcher has cleaned up. May be called twice."""
        if self.stdout.closed:
            return
        self._control.close()
        try:
            self._process.wait(timeout=max(0.0, self._deadline - time.monotonic()) + deadlines.stretched(_GRACE))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.stdout.close()
        self._pipes.close()

    def _expect(self, kind: str) -> dict[str, int]:
        """The next message, which must be of this kind: `kind: key value key value …`."""
        try:
            message = self._receive(self._deadline + deadlines.stretched(_GRACE))
        except TimeoutError:
            raise DeadlineExceeded(f"the launcher did not send {kind!r} in time", console=self.console()) from None
        except OSError as error:
            raise MeasurementError(f"the launcher: {error.strerror}", console=self.console()) from error
        return parse_message(message, kind, self.console)

    def _receive(self, deadline: float) -> bytes:
        """The next message. Standard error is read meanwhile: a writer blocks while its pipe is full, so a tool that
        fails with a long message would hang."""
        if self._control.fileno() < 0:
            raise OSError(errno.EBADF, "it has ended")
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.register(self._pipes.errors, select.POLLIN)
        while ready := waiting.poll(max(1.0, 1000 * (deadline - time.monotonic()))):
            if any(descriptor == self._control.fileno() for descriptor, _ in ready):
                return self._control.recv(2048)
            if not self._pipes.read_errors():
                waiting.unregister(self._pipes.errors)
        raise TimeoutError

    def console(self) -> str:
        """The end of what it wrote to standard error."""
        return self._pipes.last_words()


_PROMISED = {
    "prepared": frozenset({"clone3", "into-cgroup", "netns-watch"}),
    "ready": frozenset({"pid", "requested", "created", "started", "ready"}),
    "exited": frozenset({"released", "exited", "gone", "status", "cpu_payload_us", "cpu_launcher_us"}),
}
"""The keys that each kind of message always has (bench/probe/launch.c)."""


def parse_message(message: bytes, kind: str, console: Callable[[], str] = lambda: "") -> dict[str, int]:
    """The numbers of a message of this kind. Raises `MeasurementError` with the text of any other message."""
    found, _, rest = message.decode(errors="replace").partition(":")
    if found != kind:
        reason = rest.strip() or "the launcher ended without a message"
        error = DeadlineExceeded if reason.startswith("deadline") else MeasurementError
        raise error(reason, console=console())
    words = rest.split()
    try:
        said = {key: int(value) for key, value in zip(words[::2], words[1::2], strict=True)}
    except ValueError:
        said = {}
    if not said.keys() >= _PROMISED[kind]:
        raise MeasurementError(f"the launcher sent {kind!r} with invalid values: {rest.strip()[:200]!r}")
    return said


_KEPT = 1 << 14
"""Bytes of standard error that are kept, the last ones."""


class _Pipes:
    """The three standard streams of one instance; `feed`, `stdout` and `errors` are the harness's ends."""

    def __init__(self) -> None:
        ends: list[int] = []
        try:
            for _ in range(3):
                ends += os.pipe()
        except OSError:
            for descriptor in ends:
                os.close(descriptor)
            raise
        self.child_stdin, self.feed, self.stdout, self.child_stdout, self.errors, self.child_stderr = ends
        os.set_blocking(self.errors, False)
        self._words = b""

    def close_child_ends(self) -> None:
        for descriptor in (self.child_stdin, self.child_stdout, self.child_stderr):
            os.close(descriptor)

    def read_errors(self) -> bool:
        """Read what standard error has now; returns whether there may be more later."""
        try:
            words = os.read(self.errors, 1 << 16)
        except OSError:  # nothing is there now
            return True
        self._words = (self._words + words)[-_KEPT:]
        return bool(words)

    def last_words(self) -> str:
        self.read_errors()
        return self._words.decode(errors="replace")[-2000:]

    def close(self) -> None:
        os.close(self.feed)
        os.close(self.errors)


ENVIRON = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""The environment of an instance. The caller's own variables could change what is measured."""


@contextmanager
def launched(
    program: Sequence[str],
    *,
    options: Sequence[str] = (),
    timeout: float,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    cgroups: Sequence[Path] = (),
) -> Iterator[LaunchedInstance]:
    """Run `program` through the C launcher with its isolation `options`; yields once it has written its first byte.

    `environ` is added to a minimal environment; `folder` is the working folder; the launcher joins the `cgroups` before
    it starts the program. Raises `MeasurementError` with the step that failed.
    """
    with ExitStack() as childs, ExitStack() as never_started:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        childs.callback(there.close)
        never_started.callback(here.close)
        pipes = _Pipes()
        childs.callback(pipes.close_child_ends)
        never_started.callback(pipes.close)
        never_started.callback(os.close, pipes.stdout)
        command = [str(probe_path()), "launch", f"--control={there.fileno()}", f"--watch={pipes.stdout}"]
        command += [f"--feed={pipes.feed}", f"--timeout={timeout:g}", *options, "--", *program]
        process = subprocess.Popen(
            command,
            stdin=pipes.child_stdin,
            stdout=pipes.child_stdout,
            stderr=pipes.child_stderr,
            pass_fds=(there.fileno(), pipes.stdout, pipes.feed),
            env={**ENVIRON, **(environ or {})},
            cwd=folder,
            process_group=0,  # a terminal's Ctrl-C is for the harness; a new session would be a new scheduling group
        )
        never_started.pop_all()
    instance = LaunchedInstance(here, process, time.monotonic() + timeout, pipes)
    try:
        for cgroup in cgroups:
            (cgroup / "cgroup.procs").write_text(str(process.pid))
        instance.start()
        yield instance
    finally:
        instance.destroy()


def learn_deadlines() -> None:
    """Start the probe as a raw process a few times: all deadlines depend on how long that takes here."""
    seconds = []
    with suppress(IsobenchError, OSError):  # if it does not start, every environment reports why
        for _ in range(3):
            with launched(["./probe", "ready"], timeout=deadlines.ready(), folder=probe_path().parent) as instance:
                seconds.append(start_seconds(instance.events))
                instance.wait()
        deadlines.learn_start(sorted(seconds)[len(seconds) // 2])


ROOT_ONLY = "only root can observe the end of another network namespace"
MAY_NOT = (
    "this process cannot watch network namespaces: it lacks CAP_SYS_ADMIN or CAP_NET_ADMIN, "
    "or a filter forbids setns or unshare"
)

_may_watch = True


def watch_netns(timeout: float) -> NetnsWatch | None:
    """A process that will watch a network namespace; None if this process may not watch any."""
    global _may_watch
    if _may_watch and os.geteuid() == 0:
        try:
            return NetnsWatch(timeout)
        except _Refused:
            _may_watch = False
    return None


def blind() -> str:
    """Why there is no such watch; empty if there is one. Known after the first request."""
    if os.geteuid() != 0:
        return ROOT_ONLY
    return "" if _may_watch else MAY_NOT


class _Refused(MeasurementError):
    """This process may not watch network namespaces."""


class NetnsWatch:
    """Reports when the kernel has freed a process's network namespace, for processes that the launcher did not start.

    Create one before the launch (untimed), call `watch` between ready and released, `await_gone` after the removal.
    """

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self._process = subprocess.Popen(
            [str(probe_path()), "netns", f"{timeout:g}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin = self._process.stdin
        self._stdout = io.BufferedReader(DeadlineReader(os.dup(self._process.stdout.fileno()), self._deadline))
        try:
            self._expect(b"prepared")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The watching process."""
        return self._process.pid

    def watch(self, pid: int) -> bool:
        """Watch the network namespace of this process; False if the process has exited."""
        self._say(f"{pid}\n")
        return self._expect(b"watching", or_else=b"exited") != b"exited\n"

    def await_gone(self) -> int:
        """Wait until the kernel has freed it; returns when that was, in nanoseconds of CLOCK_MONOTONIC."""
        self._say("gone\n")
        said = self._expect(b'{"gone": ').strip(b"} \n")
        if not said.isdigit():
            raise MeasurementError(f"watching a network namespace: gone at {said.decode(errors='replace')!r}")
        return int(said)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._stdout.close()

    def _say(self, text: str) -> None:
        with suppress(BrokenPipeError):
            self._stdin.write(text.encode())
            self._stdin.flush()

    def _expect(self, start: bytes, *, or_else: bytes = b"") -> bytes:
        line = self._stdout.readline()
        if or_else and line == or_else + b"\n":
            return line
        if line == b"refused\n":
            raise _Refused(MAY_NOT)
        if not line.startswith(start):
            raise MeasurementError(f"watching a network namespace: {line.decode(errors='replace').strip() or 'ended'}")
        return line[len(start) :]
