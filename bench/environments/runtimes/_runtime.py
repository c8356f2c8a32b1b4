"""What command-line runtimes have in common: the C launcher starts a tool, and the tool runs the probe."""

from __future__ import annotations

import copy
import itertools
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, Part
from isobench.core import deadlines
from isobench.host.accounting import cpu_seconds
from isobench.host.programs import find, output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from isobench.contracts.environment import Layer, Role
    from isobench.contracts.launch import Launch
    from isobench.contracts.mechanism import Mechanism, Tool
    from isobench.probe.launcher import LaunchedInstance, NetnsWatch


class Runtime:
    """A runtime (`isobench.contracts.environment.Environment`); a subclass defines its command line."""

    layer: Layer = "runtime"
    capabilities = frozenset({Capability.READY, Capability.PROBE, Capability.ROOTFS, Capability.COMMAND})
    single_factor = False
    tool: Tool
    """The program that starts an instance."""
    mechanisms: tuple[Mechanism, ...]
    runs_in_work = True
    """Whether the probe runs from the root file system in the work folder, not from the tool's own storage."""
    own_network = True
    """Whether its instances get a network namespace, whose end has to be awaited."""

    def __init__(
        self, name: str, title: str, adds: str, compared_with: str | None, groups: tuple[str, ...] = ("containers",)
    ) -> None:
        self.name = name
        self.title = title
        self.adds = adds
        self.compared_with = compared_with
        self.groups = frozenset(groups)

    def require(self) -> None:
        """Raise `Unavailable` if something besides the tool is missing. Called before anything is created."""

    def prepare(self, sandbox: RuntimeSandbox) -> None:
        """Create what the runtime needs besides the root file system in `sandbox.root`; untimed."""

    def take(self, sandbox: RuntimeSandbox, archive: Path) -> None:
        """Untimed: `sandbox` has the root file system of this archive in its `root`, fresh for one instance."""
        sandbox.root = sandbox.unpacked.fresh(archive)

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        """The command line of one instance."""
        raise TypeError(f"{type(self).__name__} does not define its command line")

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        """Undo what `prepare` did outside the work folder."""

    def destroy(self, sandbox: RuntimeSandbox, name: str) -> None:
        """Remove what an instance that did not exit by itself has outside its launcher's descendants."""

    def elsewhere(self, name: str) -> Mapping[int, Role]:
        """The processes that a daemon started for an instance; most runtimes start everything themselves."""
        return {}

    def unseen(self) -> Mapping[Part, str]:
        """The parts of its instances that cannot be observed (`isobench.contracts.capabilities.HasBlindSpots`); most
        runtimes' processes are descendants of this one."""
        return {}

    def engine(self) -> list[int]:
        """The daemons that work for every instance; their CPU time counts."""
        return []

    @contextmanager
    def open(self, workdir: Path) -> Iterator[RuntimeSandbox]:
        from isobench.core.errors import Unavailable
        from isobench.filesystem.paths import check_may_run

        if find(self.tool.name) is None:
            raise Unavailable(f"{self.tool.name} is not installed", remedy=self.tool.remedy)
        if os.geteuid() != 0:
            raise Unavailable(f"{self.title} runs only as root here", remedy="run isobench as root")
        if self.runs_in_work:
            check_may_run(workdir, "ISOBENCH_WORK")
        self.require()
        sandbox = RuntimeSandbox(self, workdir)
        try:
            self.prepare(sandbox)
            yield sandbox
        finally:
            self.dispose(sandbox)


class RuntimeSandbox:
    """The root file system in the work folder, and the tool."""

    def __init__(self, runtime: Runtime, workdir: Path) -> None:
        from isobench.images.archive import Unpacked
        from isobench.images.rootfs import link_rootfs

        self.runtime = runtime
        self.workdir = workdir.resolve()  # runc refuses a root that is reached through a symbolic link
        self.root = self.workdir / "root"
        self.given: Path | None = None
        """The archive of the root file system, where it is not the shared one."""
        self.unpacked = Unpacked(self.workdir)
        self.run = workdir.parent.name
        self._numbers = itertools.count(1)  # threads may share it
        self.started_in: tuple[Path, ...] = ()
        """The cgroups in which instances are started; empty for the harness's own."""
        link_rootfs(self.root)

    def daemons(self) -> list[int]:
        return self.runtime.engine()

    def unseen(self) -> Mapping[Part, str]:
        """The parts that cannot be observed here (`isobench.contracts.capabilities.HasBlindSpots`)."""
        from isobench.probe.launcher import blind

        end = {Part.END: blind()} if blind() and self.runtime.own_network else {}
        return {**end, **self.runtime.unseen()}

    def facts(self) -> Mapping[str, str]:
        command = " ".join(self.runtime.command(self, "NAME", ("ready",)))
        tool = self.runtime.tool.name
        facts = {f"version.{tool}": version(tool)}
        facts["command"] = command.replace(str(self.workdir), "WORK")
        return facts

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[LaunchedInstance]:
        from isobench.host.oom import MemoryWatch
        from isobench.probe.launcher import launched, watch_netns

        number = next(self._numbers)
        name = f"{self.run}-{self.runtime.name}-{number}"
        command = self.runtime.command(self._with(launch.root), name, launch.arguments)
        tool = find(command[0]) or command[0]
        watch = watch_netns(launch.timeout) if launch.watch_end and self.runtime.own_network else None
        engine = {pid: cpu_seconds(pid) for pid in self.runtime.engine()}
        ended = False
        try:
            with (
                MemoryWatch() as memory,
                launched(
                    [tool, *command[1:]], timeout=launch.timeout, folder=self.workdir, cgroups=self.started_in
                ) as instance,
            ):
                instance.watchers = [watch.pid] if watch is not None else []
                instance.elsewhere = self.runtime.elsewhere(name)
                spent = {role: _spent(instance.elsewhere, role) for role in ("payload", "helper")}
                payload = next((pid for pid, role in instance.host_pids().items() if role == "payload"), 0)
                memory.look_at(payload)
                watching = watch is not None and _watch(watch, payload)
                yield instance
                ended = "gone" in instance.events
            if engine:
                _account(instance.cpu, spent, sum(cpu_seconds(pid) - before for pid, before in engine.items()))
            if watching and watch is not None and "gone" in instance.events:
                instance.events["gone"] = max(instance.events["gone"], watch.await_gone())
        finally:
            if not ended:
                self.runtime.destroy(self, name)
            if watch is not None:
                watch.close()

    def _with(self, archive: Path | None) -> RuntimeSandbox:
        """This sandbox with the root file system that an instance is given."""
        if archive is None:
            return self
        other = copy.copy(self)
        other.given = archive
        self.runtime.take(other, archive)
        return other

    def tool(self, *words: str, timeout: float = 120) -> str:
        """Run the runtime's tool for an untimed step; returns its output. Raises `MeasurementError`."""
        return output(words, timeout)


def _spent(elsewhere: Mapping[int, Role], wanted: str) -> float:
    return sum(cpu_seconds(pid, with_children=role == "helper") for pid, role in elsewhere.items() if role == wanted)


def _account(cpu: dict[str, float], spent: Mapping[str, float], engine: float) -> None:
    """Account the CPU time if a daemon did the work: what the launcher started was only its client."""
    cpu["launcher"] = cpu.get("launcher", 0.0) + cpu.get("payload", 0.0)
    cpu.update(spent, engine=max(0.0, engine))


def version(tool: str) -> str:
    """The first line of `TOOL --version`."""
    import subprocess

    with suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
        done = subprocess.run(
            [tool, "--version"], capture_output=True, errors="replace", timeout=deadlines.stretched(30), check=False
        )
        return (done.stdout or done.stderr).strip().splitlines()[0]
    return ""


def _watch(watch: NetnsWatch, payload: int) -> bool:
    """Watch the program's network namespace, unless the program has exited or shares the host's."""
    with suppress(OSError):
        if payload and os.readlink(f"/proc/{payload}/ns/net") != os.readlink("/proc/self/ns/net"):  # noqa: PTH115
            return watch.watch(payload)
    return False
