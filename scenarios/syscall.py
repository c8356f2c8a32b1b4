"""What system calls cost inside an instance: the probe repeats each one in batches and sends every batch.

A sample is the median of one instance's batches. Nothing is subtracted: the loop around a call costs less than a
nanosecond, and what an empty one costs is in every answer of the probe (bench/probe/syscalls.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.environment import PROBE
from bench.errors import ProbeError
from bench.model import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from bench.environment import Sandbox

MEANINGS = {
    "getppid": "one trivial system call: entering the kernel and leaving it",
    "read-1b": "reading one byte of a file in memory",
    "write-1b": "writing one byte of a file in memory",
    "open-close": "opening and closing the program's own file",
    "stat": "asking for the attributes of the program's own file",
    "mmap-touch": "mapping one page of memory, writing to it and unmapping it",
    "fork": "forking a process that exits, and waiting for it",
    "pipe": "sending one byte to another process and getting it back, over two pipes, both on one CPU",
}
"""The operations of the probe (bench/probe/syscall_table.c), each the time of one."""


class Syscall:
    """Medians of some operations (`bench.scenario.Scenario`)."""

    needs = frozenset({PROBE})

    def __init__(self, name: str, title: str, operations: Sequence[str], *, groups: tuple[str, ...] = ()) -> None:
        self.name = name
        self.title = title
        self.metrics = tuple(Metric(operation, "second", MEANINGS[operation]) for operation in operations)
        self.groups = frozenset(groups)
        self._arguments = ("syscall", *operations)

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from bench.answers import answers

        with sandbox.launch(*self._arguments) as instance:
            found = answers(instance)[1:]
        return {answer["name"]: _median_seconds(answer) for answer in found if "unavailable" not in answer}


def _median_seconds(answer: Mapping[str, Any]) -> float:
    from statistics import median

    batches = answer.get("ns")
    if (
        not isinstance(batches, list)
        or not batches
        or not all(isinstance(ns, int | float) and ns > 0 for ns in batches)
    ):
        raise ProbeError(f"the probe gave no positive times for {answer.get('name')!r}")
    return float(median(batches)) / 1e9


SCENARIOS = (
    Syscall(
        "syscall",
        "System calls",
        ("getppid", "read-1b", "write-1b", "open-close", "stat", "mmap-touch", "fork", "pipe"),
        groups=("default",),
    ),
)
