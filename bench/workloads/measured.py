"""A workload as a scenario: one instance with its root file system, in which its commands are run."""

from __future__ import annotations

import os
import re
import shlex
import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.contracts.answers import blame_memory, first_answer, next_answer, text, whole
from isobench.contracts.capabilities import Capability, Lack
from isobench.contracts.launch import commands
from isobench.core import signals
from isobench.core.errors import DeadlineExceeded, IsobenchError, MeasurementError
from isobench.core.model import Metric, Purpose, start_seconds
from isobench.host.counters import Counter
from isobench.images.archive import identity
from isobench.processes.programs import telling_line
from isobench.workloads import from_host, under_load
from isobench.workloads.workload import FEWEST_BYTES, MOST_CPUS, MOST_OUTPUT, READ, SHOWN, UNCHOSEN, Allotment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.workloads.workload import Root, Workload

_TERMINAL = re.compile(r"\b(tty|terminal|TERM)\b|inappropriate ioctl", re.IGNORECASE)
"""Matches error messages of programs that need a terminal."""


_AFTER_OTHERS = 60
"""The position of a workload's column in the report's verdict: after those of the other scenarios."""
_CPU = "CPU time of the program and its children, as the kernel beneath it counts"
_OF_A_PROGRAM = (
    Metric("wall", "second", "from the start of the program to its end, by the clock inside"),
    Metric("whole", "second", "the same and the start of its instance before it, seen from outside"),
    Metric("cpu", "second", _CPU, "zero"),
    Metric("peak", "byte", "the largest resident set that one process of it had"),
)
_OF_A_SERVER = (
    Metric("first-answer", "second", "from the request for an instance until the server in it is ready, from outside"),
    Metric("wall", "second", "from the start of the driver to its end, by the clock inside"),
    Metric("cpu", "second", _CPU.replace("program and its", "server, the driver and their"), "zero"),
    Metric("peak", "byte", "the largest resident set that one process of the server had"),
)
_DRIVEN_FROM_HOST = tuple(
    metric._replace(
        meaning=metric.meaning.replace("inside", "of the host").replace(
            "server, the driver and their", "server and its"
        )
    )
    for metric in _OF_A_SERVER
)
TAKEN = frozenset(
    metric.name
    for metric in (*_OF_A_PROGRAM, *_OF_A_SERVER, *under_load.MEMORY, under_load.CGROUP_PEAK, *under_load.CPU)
)
"""The names of metrics that every workload has; its own numbers must have other names."""


class Measured:
    """One workload (`isobench.contracts.scenario.Scenario`)."""

    needs = frozenset({Capability.COMMAND})
    groups: frozenset[str] = frozenset()
    sees = under_load.SEES

    def __init__(self, workload: Workload, chosen: Allotment = UNCHOSEN, origin: Path | None = None) -> None:
        """`chosen` is what each instance gets; `origin` is the workload's file, if it has one."""
        self.workload = workload
        self.origin = origin
        cpus = chosen.cpus or max(workload.cpus, min(MOST_CPUS, _host_cpus()))
        self.allotment = Allotment(cpus, chosen.memory_bytes or max(workload.memory_bytes, FEWEST_BYTES))
        # a program may have more threads than CPUs, and wait for its disk; requests cause interrupts
        packets = {Counter.INTERRUPTS} if workload.server else set()
        self.expected_interference = frozenset({Counter.PSI_CPU, Counter.PSI_IO, *packets})
        self.name = workload.name
        self.title = workload.title
        numbers = tuple(Metric(one.name, one.unit, one.meaning, "zero") for one in workload.numbers)
        own: tuple[Metric, ...] = _OF_A_PROGRAM
        if workload.server:
            own = (*(_DRIVEN_FROM_HOST if workload.is_driven_from_host else _OF_A_SERVER), *under_load.MEMORY)
        cpu = under_load.PER_REQUEST if workload.requests else under_load.CPU
        first, *others = list[Metric]((*numbers, *own, under_load.CGROUP_PEAK, *cpu))
        self.metrics = (first._replace(purpose=Purpose(_AFTER_OTHERS, workload.name, first.meaning)), *others)

    @cached_property
    def _made(self) -> Root | IsobenchError:
        try:
            return self.workload.root()
        except IsobenchError as error:
            return error

    @property
    def root(self) -> Root:
        """Its root file system. Raises `IsobenchError` if this host cannot make it."""
        if isinstance(self._made, IsobenchError):
            raise self._made
        return self._made

    @property
    def identity(self) -> str:
        """Identifies the content of its root file system."""
        return identity(self.root.archive)

    def lacks(self) -> Lack | None:
        """Checks CPUs, memory, and the root file system, which it makes."""
        lacking = self._lacking()
        if lacking:
            return Lack(lacking, "choose with --cpus and --memory")
        return Lack(self._made.reason, self._made.remedy) if isinstance(self._made, IsobenchError) else None

    def _lacking(self) -> str:
        """Why an instance cannot get its CPUs and memory on this host; empty if it can."""
        cpus, memory = self.allotment
        if cpus < self.workload.cpus or memory < self.workload.memory_bytes:
            needed = f"{self.workload.cpus} CPUs and {self.workload.memory_bytes >> 20} MiB"
            return f"{self.name} needs {needed}, and is given {cpus} and {memory >> 20} MiB"
        if cpus > _host_cpus():
            return f"it is to have {cpus} CPUs, and the host has {_host_cpus()}"
        host = _host_memory()
        return f"it is to have {memory >> 20} MiB, and the host has {host >> 20} MiB" if memory > host else ""

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The command, and the identity of the root file system."""
        driver = next(step.words for step in self._steps() if step.kind in ("driver", "from host"))
        return {
            "command": shlex.join(driver[driver.index("--") + 1 :]),
            "root": self.identity,
            "allotted": self._allotted(),
            **({"driver": self._where_it_is_driven()} if self.workload.server is not None else {}),
        }

    def _where_it_is_driven(self) -> str:
        if not self.workload.is_driven_from_host:
            own = self._drivers_own_cpus()
            where = f"on CPUs of its own ({own} more)" if own else "on the CPUs of the instance"
            return f"beside the server, {where}"
        cpus, are_its_own = self._drivers_cpus()
        those = f"CPUs {', '.join(map(str, cpus))}"
        return (
            f"on the host, {those}" if are_its_own else f"on the host, on the CPUs of the instance: it has only {those}"
        )

    def _allotted(self) -> str:
        cpus, memory = self.allotment
        return f"{cpus} CPUs, {memory >> 20} MiB (a rung without a cgroup has no limit of memory)"

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        port = self._port(sandbox)
        steps = self._steps(port)
        words = [word for step in steps if step.kind != "from host" for word in step.words]
        cpus, memory = self.allotment
        cpus += self._drivers_own_cpus()
        with sandbox.launch(commands(self.root.archive, *words, cpus=cpus, memory_bytes=memory)) as instance:
            done, loaded = list[_Done](), dict[str, float]()
            for step in steps:
                if step.kind in ("driver", "from host"):
                    one, costs = self._driven(step, instance, sandbox, port, first=not done)
                    done.append(one)
                    loaded.update(costs)
                else:
                    done.append(_done(step, instance, first=not done, if_it_fails=self.workload.if_it_fails))
            instance.wait()
        start = start_seconds(instance.events)
        return {**self._costs(start, done), **self._numbers(done), **loaded}

    def _driven(
        self, step: _Step, instance: Instance, sandbox: Sandbox, port: int, *, first: bool
    ) -> tuple[_Done, dict[str, float]]:
        """Run the driver; returns its step, and what the host spent meanwhile."""
        if step.kind == "driver":
            before = under_load.spent(instance, sandbox)
            done = _done(step, instance, first=first, if_it_fails=self.workload.if_it_fails)
            after = under_load.spent(instance, sandbox)
        else:
            path = from_host.path_to(instance, port)
            words = self._on_host(path.address, path.ports.get("tcp", port))
            with from_host.Driver(self.root.archive, words, self._drivers_cpus()[0]) as driver:
                if self.workload.warm_up is not None:
                    _sound("warm-up", driver.step())
                before = under_load.spent(instance, sandbox)
                answer = driver.step()
                after = under_load.spent(instance, sandbox)
            done = _Done("driver", _sound("driver", answer), 0.0)
        costs = under_load.cpu_between(before, after, self.workload.requested(done.output))
        return done, costs | under_load.memory_of(instance, is_served=self.workload.server is not None)

    def _port(self, sandbox: Sandbox) -> int:
        """Where the server has to listen for a driver on the host; 0: at its own port."""
        server = self.workload.server
        if server is None or not self.workload.is_driven_from_host:
            return 0
        return from_host.port_for(sandbox, server.port)

    def _on_host(self, address: str, port: int) -> list[str]:
        """The warm-up and the driver as steps on the host."""
        more = {"SERVER": address, "PORT": str(port)}
        return [word for step in self._drivers(len(self._drivers_cpus()[0]), more) for word in step.words]

    def _drivers(self, cpus: int, more: Mapping[str, str], after: int = 0) -> list[_Step]:
        """The warm-up, if there is one, and the driver, with these variables, on so many CPUs after so many others."""
        work, steps = self.workload, list[_Step]()
        on = [f"after={after}"] if after else []
        if work.warm_up is not None:
            steps.append(_Step("warm-up", work.warm_up.step(self.root, *on, cpus=cpus, more=more)))
        return [*steps, _Step("driver", work.command.step(self.root, *on, cpus=cpus, keep=self._kept(), more=more))]

    def _drivers_cpus(self) -> tuple[list[int], bool]:
        return from_host.cpus_of_the_driver(self.allotment.cpus)

    def _drivers_own_cpus(self) -> int:
        """How many CPUs an instance has for a driver beside its server: as many as the server, if the host has them."""
        if self.workload.server is None or self.workload.is_driven_from_host:
            return 0
        return max(0, min(self.allotment.cpus, _host_cpus() - self.allotment.cpus))

    def _kept(self) -> int:
        """Bytes of the driver's output that are kept."""
        return READ if self.workload.numbers or self.workload.expect or self.workload.requests else SHOWN

    def _steps(self, port: int = 0) -> list[_Step]:
        """In order: preparing, starting the server, warming up, the driver, stopping the server. `port` is where the
        server has to listen, if not at its own."""
        work, root, cpus = self.workload, self.root, self.allotment.cpus
        own = port or (work.server.port if work.server is not None else 0)
        more = {"PORT": str(own)} if own else {}
        steps = [_Step("prepare", command.step(root, cpus=cpus, more=more)) for command in work.prepare]
        if work.server is not None:
            steps += [_Step("server", words) for words in work.server.steps(root, cpus, port)]
        more = {**more, **({"SERVER": "127.0.0.1"} if own else {})}
        drivers_own = self._drivers_own_cpus()
        drivers = self._drivers(drivers_own, more, after=cpus) if drivers_own else self._drivers(cpus, more)
        steps += [_Step("from host", drivers[-1].words)] if work.is_driven_from_host else drivers
        return [*steps, *([_Step("stop", ["as=stop", "--"])] if work.server is not None else [])]

    def _costs(self, start: float, done: Sequence[_Done]) -> dict[str, float]:
        driver = next(one for one in done if one.kind == "driver")
        counted = [
            one
            for one in done
            if one.kind == "stop" or (one.kind == "driver" and not self.workload.is_driven_from_host)
        ]
        waited = sum(one.outside for one in done if one.kind == ("server" if self.workload.server else "driver"))
        costs = {
            "first-answer" if self.workload.server else "whole": start + waited,
            "wall": whole(driver.answer, "ns") / 1e9,
            "cpu": sum(whole(one.answer, "cpu_ns") for one in counted) / 1e9,
        }
        peak = whole(counted[-1].answer, "peak")  # 0 from a kernel that does not count it
        return {**costs, **({"peak": float(peak)} if peak else {})}

    def _numbers(self, done: Sequence[_Done]) -> dict[str, float]:
        output = next(one.output for one in done if one.kind == "driver")
        expect = self.workload.expect
        if expect is not None and not expect.search(output):
            reason = f"the answer is wrong: the output has nothing that matches {expect.pattern!r:.80}"
            raise MeasurementError(reason, console=output[-SHOWN:])
        return {number.name: number.read(output) for number in self.workload.numbers}


class _Step(NamedTuple):
    """One step of the probe's verb `run`."""

    kind: str
    """prepare, server, warm-up, driver, from host (both of them there) or stop."""
    words: list[str]


class _Done(NamedTuple):
    """A step that succeeded: what the probe answered, and the seconds until it did, seen from outside."""

    kind: str
    answer: dict[str, Any]
    outside: float

    @property
    def output(self) -> str:
        return output_of(self.answer)


def _host_cpus() -> int:
    return len(os.sched_getaffinity(0))


def _host_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _done(step: _Step, instance: Instance, *, first: bool, if_it_fails: str) -> _Done:
    """Have the probe run a step. Raises `MeasurementError` if it fails; if the command itself failed, `if_it_fails` is
    the remedy."""
    asked = time.monotonic_ns()
    try:
        with suppress(OSError):  # an instance that has ended says why
            instance.stdin.write(b"\n")
        answer = first_answer(instance.stdout) if first else next_answer(instance.stdout)
        outside = (time.monotonic_ns() - asked) / 1e9
        problem = trouble(step.kind, answer)
    except DeadlineExceeded as error:
        seconds = (time.monotonic_ns() - asked) / 1e9
        remedy = "is it a server, or does it wait for something? otherwise allow more time with --timeout"
        reason = f"{_CALLED[step.kind]} did not end within {seconds:.0f} s"
        raise DeadlineExceeded(reason, remedy=remedy) from error
    except MeasurementError as broken:
        blame_memory(instance, broken)
        raise
    if problem is not None:
        blame_memory(instance, problem)
        problem.remedy = problem.remedy or (if_it_fails if whole(answer, "status") else "")
        raise problem
    return _Done(step.kind, answer, outside)


def _sound(kind: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of a step that succeeded. Raises `MeasurementError` for any other."""
    problem = trouble(kind, answer)
    if problem is not None:
        raise problem
    return answer


_CALLED = {
    "prepare": "preparing",
    "warm-up": "warming up",
    "server": "the server",
    "driver": "the program",
    "stop": "the server",
}


_IN_THE_BACKGROUND = "went into the background: it ended, and processes of it were still running"
_FOREGROUND = "start it in the foreground"


def trouble(kind: str, answer: Mapping[str, Any]) -> MeasurementError | None:
    """Why a step did not succeed, with the end of the output; None if it did."""
    output = output_of(answer)
    line = telling_line([line.strip() for line in output.splitlines() if line.strip()])
    said = f": {line[:200]}" if line else ""
    who = "it" if kind == "driver" else _CALLED[kind]
    console = "\n".join(filter(None, (output, output_of(answer, "log"))))
    if whole(answer, "flood"):
        reason = f"{who} wrote more than {MOST_OUTPUT >> 20} MiB and did not stop"
    elif kind == "server" and whole(answer, "late") and whole(answer, "left"):
        return MeasurementError(f"{who} {_IN_THE_BACKGROUND}", console=console, remedy=_FOREGROUND)
    elif kind == "server" and whole(answer, "late"):
        reason = f"the server did not become ready{_ending(answer)}{said}"
    elif kind == "stop" and whole(answer, "late"):
        reason = f"the server ended before it was stopped{_ending(answer)}{said}"
    elif ending := _ending(answer):
        wants = " (it seems to need a terminal, and has none)" if _TERMINAL.search(output) else ""
        reason = f"{who} {ending.removeprefix(': it ')}{said}{wants}"
    elif whole(answer, "left"):
        return MeasurementError(f"{who} {_IN_THE_BACKGROUND}", console=console, remedy=_FOREGROUND)
    else:
        return None
    return MeasurementError(reason, console=console)


def _ending(answer: Mapping[str, Any]) -> str:
    """How a command ended, if not as it should."""
    if number := whole(answer, "signal"):
        return f": it was killed by {signals.name_of(number)}"
    status = whole(answer, "status")
    return f": it exited with status {status}" if status else ""


def output_of(answer: Mapping[str, Any], key: str = "output") -> str:
    """What a command wrote. The probe answers bytes as the characters of the same number; there may be no log."""
    if key != "output" and key not in answer:
        return ""
    return text(answer, key).encode("latin-1", errors="replace").decode(errors="replace")
