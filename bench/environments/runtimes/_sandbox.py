"""The root file system in the work folder, and the runtime's tool, started by the C launcher."""

from __future__ import annotations

import copy
import itertools
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Part
from isobench.contracts.launch import NO_LIMITS
from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.environments._limits import in_a_cgroup
from isobench.filesystem.paths import check_may_run, check_name
from isobench.images.archive import Unpacked
from isobench.images.rootfs import link_rootfs
from isobench.probe.launcher import ENVIRON, blind, launched, watch_netns
from isobench.processes.accounting import cpu_seconds
from isobench.processes.programs import find, output, version
from isobench.resources.cgroups import asked_here
from isobench.resources.oom import MemoryWatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from isobench.contracts.environment import Role
    from isobench.contracts.images import Images
    from isobench.contracts.launch import Launch
    from isobench.environments.runtimes._runtime import Driver, Runtime
    from isobench.probe.launcher import LaunchedInstance, NetnsWatch


@contextmanager
def opened(runtime: Runtime, driver: Driver, workdir: Path) -> Iterator[RuntimeSandbox]:
    """The sandbox of a runtime. Raises `Unavailable` if its tool, or something else that it needs, is missing."""
    if find(runtime.tool.name) is None:
        raise Unavailable(f"{runtime.tool.name} is not installed", remedy=runtime.tool.remedy)
    if os.geteuid() != 0:
        raise Unavailable("needs root", remedy="run isobench as root")
    if runtime.runs_in_work:
        check_may_run(workdir, "ISOBENCH_WORK")
    check_name(workdir, runtime.tool.name, runtime.refused, "ISOBENCH_WORK")
    driver.require()
    sandbox = RuntimeSandbox(runtime, driver, workdir)
    try:
        driver.prepare(sandbox)
        yield sandbox
    finally:
        driver.dispose(sandbox)


class RuntimeSandbox:
    """The root file system in the work folder, and the tool."""

    def __init__(self, runtime: Runtime, driver: Driver, workdir: Path) -> None:
        self.runtime = runtime
        self.driver = driver
        self.workdir = workdir.resolve()  # runc refuses a root that is reached through a symbolic link
        self.root = self.workdir / "root"
        self.memory_limit = 0
        """The memory limit of an instance, if it is not the default."""
        self.limits = NO_LIMITS
        self.given: Path | None = None
        """The archive of the root file system, if it is not the shared one."""
        self.image = ""
        """The image that the instance is of, if it is one of a registry."""
        self.unpacked = Unpacked(self.workdir)
        self.run = workdir.parent.name
        self._numbers = itertools.count(1)  # threads may share it
        link_rootfs(self.root)

    def images(self) -> Images:
        """Images from a registry (`isobench.contracts.images.KeepsImages`), of a runtime that has them."""
        return self.driver.images(self)

    def daemons(self) -> list[int]:
        return self.driver.engine()

    def unseen(self) -> Mapping[Part, str]:
        """The parts that cannot be observed here (`isobench.contracts.capabilities.HasBlindSpots`)."""
        end = {Part.END: blind()} if blind() and self.runtime.own_network else {}
        return {**end, **self.driver.unseen()}

    def facts(self) -> Mapping[str, str]:
        command = " ".join(self.driver.command(self, "NAME", ("ready",)))
        tool = self.runtime.tool.name
        facts = {f"version.{tool}": version(tool)}
        facts["command"] = command.replace(str(self.workdir), "WORK")
        return {**facts, **self.driver.facts(self)}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[LaunchedInstance]:
        number = next(self._numbers)
        name = f"{self.run}-{self.runtime.name}-{number}"
        sandbox = self._with(launch)
        command = self.driver.command(sandbox, name, launch.arguments)
        tool = find(command[0]) or command[0]
        watch = watch_netns(launch.timeout) if launch.watch_end and self.runtime.own_network else None
        engine = {pid: cpu_seconds(pid) for pid in self.driver.engine()}
        ended = False
        try:
            with (
                MemoryWatch() as memory,
                self.driver.started_in(sandbox, name) as cgroups,
                launched(
                    [tool, *command[1:]],
                    timeout=launch.timeout,
                    environ=self.driver.environ(sandbox),
                    folder=self.workdir,
                    cgroups=cgroups,
                ) as instance,
            ):
                instance.watchers = [watch.pid] if watch is not None else []
                instance.elsewhere = self.driver.elsewhere(name)
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
                self.driver.destroy(self, name)
            if watch is not None:
                watch.close()

    def _with(self, launch: Launch) -> RuntimeSandbox:
        """This sandbox with the root file system and the limits of a launch."""
        other = copy.copy(self)
        other.image = launch.image
        other.memory_limit, other.limits = launch.memory_bytes, launch.limits
        if launch.root is not None:
            other.given = launch.root
            self.driver.take(other, launch.root)
        return other

    def tool(self, *words: str, timeout: float | None = None, stdin: int | None = None, refused: str = "") -> str:
        """Run the runtime's tool for an untimed step, with the environment of an instance; returns its output.

        Raises `MeasurementError`, also for `refused` words among its errors.
        """
        seconds = deadlines.stretched(120) if timeout is None else timeout
        environ = {**ENVIRON, **self.driver.environ(self)}
        return output([find(words[0]) or words[0], *words[1:]], seconds, stdin=stdin, environ=environ, refused=refused)


def cgroup_files(sandbox: RuntimeSandbox) -> dict[str, str]:
    """The files of a cgroup, by this host's names, and their values for the limits of an instance."""
    return asked_here(**in_a_cgroup(sandbox.limits, sandbox.memory_limit, sandbox.workdir))


def _spent(elsewhere: Mapping[int, Role], wanted: str) -> float:
    return sum(cpu_seconds(pid, with_children=role == "helper") for pid, role in elsewhere.items() if role == wanted)


def _account(cpu: dict[str, float], spent: Mapping[str, float], engine: float) -> None:
    """Account for the CPU time if a daemon did the work and the launcher started only its client."""
    cpu["launcher"] = cpu.get("launcher", 0.0) + cpu.get("payload", 0.0)
    cpu.update(spent, engine=max(0.0, engine))


def _watch(watch: NetnsWatch, payload: int) -> bool:
    """Watch the program's network namespace, unless the program has exited or shares the host's."""
    with suppress(OSError):
        if payload and os.readlink(f"/proc/{payload}/ns/net") != os.readlink("/proc/self/ns/net"):  # noqa: PTH115
            return watch.watch(payload)
    return False
