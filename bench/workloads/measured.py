"""A workload as a scenario: one instance with its root file system, its command run once, judged by four costs."""

from __future__ import annotations

import re
import shlex
import signal
import time
from functools import cached_property
from typing import TYPE_CHECKING

from isobench.contracts.answers import blame_memory, first_answer, text, whole
from isobench.contracts.capabilities import Capability, Lack
from isobench.contracts.launch import commands
from isobench.core.errors import DeadlineExceeded, IsobenchError, MeasurementError
from isobench.core.model import Metric
from isobench.host.counters import Counter
from isobench.images.archive import identity
from isobench.workloads.workload import MOST_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.workloads.workload import Workload

_TERMINAL = re.compile(r"\b(tty|terminal|TERM)\b|inappropriate ioctl", re.IGNORECASE)
"""What programs say that want a terminal."""


class Measured:
    """One workload (`isobench.contracts.scenario.Scenario`)."""

    needs = frozenset({Capability.COMMAND})
    groups: frozenset[str] = frozenset()
    expected_interference = frozenset({Counter.PSI_CPU, Counter.PSI_IO})
    """A program may have more threads than there are CPUs, and wait for its disk."""
    metrics = (
        Metric("wall", "second", "from the start of the program to its end, by the clock inside"),
        Metric("whole", "second", "the same and the start of its instance before it, seen from outside"),
        Metric("cpu", "second", "CPU time of the program and its children, as the kernel beneath it counts", "zero"),
        Metric("peak", "byte", "the largest resident set that one process of it had"),
    )

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.name = workload.name
        self.title = workload.title

    @cached_property
    def _made(self) -> Path | IsobenchError:
        try:
            return self.workload.root()
        except IsobenchError as error:
            return error

    @property
    def archive(self) -> Path:
        """Its root file system. Raises `IsobenchError` where this host cannot make it."""
        if isinstance(self._made, IsobenchError):
            raise self._made
        return self._made

    @property
    def identity(self) -> str:
        """What tells its root file system from one with other content."""
        return identity(self.archive)

    def lacks(self) -> Lack | None:
        """Its root file system, where it cannot be made; it is made now."""
        return Lack(self._made.reason, self._made.remedy) if isinstance(self._made, IsobenchError) else None

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """What is run, and which bits."""
        return {"command": shlex.join(self.workload.command.words), "root": self.identity}

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(commands(self.archive, *self.workload.command.step())) as instance:
            asked = time.monotonic_ns()
            instance.stdin.write(b"\n")
            answer = _answered(instance, asked)
            answered = time.monotonic_ns()
            problem = trouble(answer)
            if problem is not None:
                blame_memory(instance, problem)
                raise problem
            instance.wait()
        start = instance.events["ready"] - instance.events["requested"]
        values = {
            "wall": whole(answer, "ns") / 1e9,
            "whole": (start + answered - asked) / 1e9,
            "cpu": whole(answer, "cpu_ns") / 1e9,
            "peak": float(whole(answer, "peak")),
        }
        return {name: value for name, value in values.items() if value > 0 or name != "peak"}


def _answered(instance: Instance, asked: int) -> dict[str, Any]:
    """What the probe says of the command once it has ended."""
    try:
        return first_answer(instance.stdout)
    except DeadlineExceeded as error:
        seconds = (time.monotonic_ns() - asked) / 1e9
        remedy = "is it a server, or does it wait for something? otherwise give it longer: --timeout"
        raise DeadlineExceeded(f"the program did not end within {seconds:.0f} s", remedy=remedy) from error
    except MeasurementError as broken:
        blame_memory(instance, broken)
        raise


def trouble(answer: Mapping[str, Any]) -> MeasurementError | None:
    """Why a command did not do what it was to do, with the end of its output; None where it did."""
    output = _output(answer)
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    said = f": {last[:200]}" if last else ""
    if whole(answer, "flood"):
        return MeasurementError(f"it wrote more than {MOST_OUTPUT >> 20} MiB and did not stop", console=output)
    if number := whole(answer, "signal"):
        return MeasurementError(f"it was killed by {_signal(number)}{said}", console=output)
    if status := whole(answer, "status"):
        wants = " (it seems to need a terminal, and has none)" if _TERMINAL.search(output) else ""
        return MeasurementError(f"it exited with status {status}{said}{wants}", console=output)
    if whole(answer, "left"):
        reason = "it went into the background: it ended, and processes of it were still running"
        return MeasurementError(reason, console=output, remedy="start it in the foreground")
    return None


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _output(answer: Mapping[str, Any]) -> str:
    """The probe answers bytes as the characters of the same number."""
    return text(answer, "output").encode("latin-1", errors="replace").decode(errors="replace")
