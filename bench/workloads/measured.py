"""A workload as a scenario: one instance with its root file system, in which its commands are run."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.contracts.answers import blame_memory, first_answer, next_answer, text, whole
from isobench.contracts.capabilities import Capability, Lack
from isobench.contracts.launch import commands
from isobench.core.errors import DeadlineExceeded, IsobenchError, MeasurementError
from isobench.core.model import Metric, Purpose
from isobench.host.counters import Counter
from isobench.host.programs import telling_line
from isobench.images.archive import identity
from isobench.workloads import under_load
from isobench.workloads.workload import FEWEST_BYTES, MOST_CPUS, MOST_OUTPUT, READ, SHOWN, UNCHOSEN, Allotment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.workloads.workload import Root, Workload

_TERMINAL = re.compile(r"\b(tty|terminal|TERM)\b|inappropriate ioctl", re.IGNORECASE)
"""What programs say that want a terminal."""


_AFTER_OTHERS = 60
"""Where the report's verdict has a workload: after what isobench measures of every isolation."""
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
TAKEN = frozenset(
    metric.name
    for metric in (*_OF_A_PROGRAM, *_OF_A_SERVER, *under_load.MEMORY, under_load.CGROUP_PEAK, *under_load.CPU)
)
"""The names of metrics that every workload has: its own numbers are called otherwise."""


class Measured:
    """One workload (`isobench.contracts.scenario.Scenario`)."""

    needs = frozenset({Capability.COMMAND})
    groups: frozenset[str] = frozenset()
    sees = under_load.SEES
    expected_interference = frozenset({Counter.PSI_CPU, Counter.PSI_IO})
    """A program may have more threads than there are CPUs, and wait for its disk."""

    def __init__(self, workload: Workload, chosen: Allotment = UNCHOSEN, origin: Path | None = None) -> None:
        """`chosen` is what instances are to be given; `origin` is the workload's file, if it has one."""
        self.workload = workload
        self.origin = origin
        cpus = chosen.cpus or max(workload.cpus, min(MOST_CPUS, _host_cpus()))
        self.allotment = Allotment(cpus, chosen.memory_bytes or max(workload.memory_bytes, FEWEST_BYTES))
        self.name = workload.name
        self.title = workload.title
        numbers = tuple(Metric(one.name, one.unit, one.meaning, "zero") for one in workload.numbers)
        own: tuple[Metric, ...] = (*_OF_A_SERVER, *under_load.MEMORY) if workload.server else _OF_A_PROGRAM
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
        """What tells its root file system from one with other content."""
        return identity(self.root.archive)

    def lacks(self) -> Lack | None:
        """CPUs or memory, or its root file system, which is made now."""
        lacking = self._lacking()
        if lacking:
            return Lack(lacking, "choose with --cpus and --memory")
        return Lack(self._made.reason, self._made.remedy) if isinstance(self._made, IsobenchError) else None

    def _lacking(self) -> str:
        """Why an instance cannot be given what it is to be given; empty if it can."""
        cpus, memory = self.allotment
        if cpus < self.workload.cpus or memory < self.workload.memory_bytes:
            needed = f"{self.workload.cpus} CPUs and {self.workload.memory_bytes >> 20} MiB"
            return f"{self.name} needs {needed}, and is given {cpus} and {memory >> 20} MiB"
        if cpus > _host_cpus():
            return f"it is to have {cpus} CPUs, and the host has {_host_cpus()}"
        host = _host_memory()
        return f"it is to have {memory >> 20} MiB, and the host has {host >> 20} MiB" if memory > host else ""

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """What is run, and which bits."""
        driver = next(step.words for step in self._steps() if step.kind == "driver")
        return {
            "command": shlex.join(driver[driver.index("--") + 1 :]),
            "root": self.identity,
            "allotted": self._allotted(),
        }

    def _allotted(self) -> str:
        cpus, memory = self.allotment
        return f"{cpus} CPUs, {memory >> 20} MiB (a rung without a cgroup has no limit of memory)"

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        steps = self._steps()
        words = [word for step in steps for word in step.words]
        cpus, memory = self.allotment
        with sandbox.launch(commands(self.root.archive, *words, cpus=cpus, memory_bytes=memory)) as instance:
            done, loaded = list[_Done](), dict[str, float]()
            for step in steps:
                before = under_load.spent(instance, sandbox) if step.kind == "driver" else None
                done.append(_done(step, instance, first=not done, if_it_fails=self.workload.if_it_fails))
                if before is not None:
                    after, requests = under_load.spent(instance, sandbox), self.workload.requested(done[-1].output)
                    loaded.update(under_load.cpu_between(before, after, requests))
                    loaded.update(under_load.memory_of(instance, is_served=self.workload.server is not None))
            instance.wait()
        start = (instance.events["ready"] - instance.events["requested"]) / 1e9
        return {**self._costs(start, done), **self._numbers(done), **loaded}

    def _steps(self) -> list[_Step]:
        """In order: preparing, starting the server, the driver, stopping the server."""
        work, root, cpus = self.workload, self.root, self.allotment.cpus
        steps = [_Step("prepare", command.step(root, cpus=cpus)) for command in work.prepare]
        if work.server is not None:
            steps += [_Step("server", words) for words in work.server.steps(root, cpus)]
        keep = READ if work.numbers or work.expect else SHOWN
        steps.append(_Step("driver", work.command.step(root, cpus=cpus, keep=keep)))
        return [*steps, *([_Step("stop", ["as=stop", "--"])] if work.server is not None else [])]

    def _costs(self, start: float, done: Sequence[_Done]) -> dict[str, float]:
        driver = next(one for one in done if one.kind == "driver")
        counted = [one for one in done if one.kind in ("driver", "stop")]
        waited = sum(one.outside for one in done if one.kind == ("server" if self.workload.server else "driver"))
        costs = {
            "first-answer" if self.workload.server else "whole": start + waited,
            "wall": whole(driver.answer, "ns") / 1e9,
            "cpu": sum(whole(one.answer, "cpu_ns") for one in counted) / 1e9,
        }
        peak = whole(counted[-1].answer, "peak")  # a kernel that does not count it says 0
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
    """prepare, server, driver or stop."""
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
    """Have the probe do a step. Raises `MeasurementError` if it fails, with what to do if the command itself did."""
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


_CALLED = {"prepare": "preparing", "server": "the server", "driver": "the program", "stop": "the server"}


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
        return f": it was killed by {_signal(number)}"
    status = whole(answer, "status")
    return f": it exited with status {status}" if status else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def output_of(answer: Mapping[str, Any], key: str = "output") -> str:
    """What a command wrote. The probe answers bytes as the characters of the same number; there may be no log."""
    if key != "output" and key not in answer:
        return ""
    return text(answer, key).encode("latin-1", errors="replace").decode(errors="replace")
