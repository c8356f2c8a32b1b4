"""What system calls cost inside an instance: the probe repeats each one in batches and reports every batch.

A sample is the median of one instance's batches. Nothing is subtracted: the loop around a call costs less than a
nanosecond, and every answer of the probe includes the cost of an empty loop (bench/probe/syscalls.c).

The scenario `syscall` keeps an instance on one CPU. Otherwise the scheduler may move the child of a fork to another
one, which varied its cost between instances by a factor of two and says nothing about isolation; `syscall-all` does not
pin.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from isobench.contracts.answers import answers, at_least, median, only, text, times
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import working
from isobench.core.model import Metric, Purpose
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario

MEANINGS = {
    "getppid": "one trivial system call: entering the kernel and leaving it",
    "clock-vdso": "reading the time the usual way, without entering the kernel if the clock source allows it",
    "clock-syscall": "reading the time by a system call",
    "read-1b": "reading 1 byte of a file in memory",
    "read-4k": "reading 4 KiB of a file in memory",
    "write-1b": "writing 1 byte of a file in memory",
    "write-4k": "writing 4 KiB of a file in memory",
    "open-close": "opening and closing the program's own file",
    "stat": "reading the attributes of the program's own file",
    "getdents": "listing a folder of 32 files from its beginning",
    "mmap": "mapping one page of memory and unmapping it, untouched",
    "mmap-touch": "mapping one page of memory, writing to it and unmapping it",
    "minor-fault": "the first write to a page of memory that is mapped already",
    "brk": "growing the heap by one page and shrinking it again",
    "fork": "forking a process that exits, and waiting for it",
    "vfork-exec": "executing a small static program in a new process, and waiting for it",
    "thread": "creating a thread that ends at once, and joining it",
    "pipe": "sending 1 byte to another process and getting it back over two pipes, both on one CPU",
    "pipe-2cpu": "sending 1 byte to another process and getting it back over two pipes, each on its own CPU",
    "futex-wake": "waking a futex without waiters",
    "futex-pair": "handing the turn to another thread and getting it back by futex, both on one CPU",
    "signal": "sending a signal to oneself, handling it and returning",
    "socketpair": "sending 1 byte to another process and getting it back over a unix socket, both on one CPU",
    "tcp": "sending 1 byte to another process and getting it back over TCP on the loopback interface, both on one CPU",
    "epoll": "polling the one ready descriptor with epoll",
    "sendfile": "sending 4 KiB of a file in memory into a pipe and reading them back",
    "mount": "mounting an empty tmpfs and unmounting it, in a mount namespace of its own",
}
"""The operations of the probe (bench/probe/syscall_table.c); each metric is the time of one."""

USUAL = (
    "getppid",
    "clock-vdso",
    "read-1b",
    "write-1b",
    "open-close",
    "stat",
    "mmap-touch",
    "minor-fault",
    "fork",
    "vfork-exec",
    "pipe",
)
"""The operations of the scenario `syscall`: each kind of work once."""

_PURPOSES = {"getppid": Purpose(30, "System call", "one trivial call")}
_QUANTILES = {"p95": 0.95, "p99": 0.99}
_FACTS = ("kernel", "machine", "clocksource", "seccomp", "no_new_privs", "cpus", "pinned")
_STABLE_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen")


class Syscall:
    """The medians of some operations (`isobench.contracts.scenario.Scenario`), with `quantiles` also p95 and p99 of
    their batches."""

    needs = frozenset({Capability.PROBE})

    def __init__(
        self,
        name: str,
        title: str,
        operations: Sequence[str],
        *,
        options: tuple[str, ...] = (),
        quantiles: bool = False,
        expected_interference: tuple[Counter, ...] = (),
        groups: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.title = title
        self.groups = frozenset(groups)
        self.expected_interference = frozenset(expected_interference)
        self.metrics = tuple(
            Metric(operation, "second", MEANINGS[operation], purpose=_PURPOSES.get(operation))
            for operation in operations
        )
        self._quantiles = _QUANTILES if quantiles else {}
        for quantile in self._quantiles:
            self.metrics += tuple(
                Metric(
                    f"{operation}.{quantile}", "second", f"{MEANINGS[operation]}: {quantile} of an instance's batches"
                )
                for operation in operations
            )
        self._operations = tuple(operations)
        self._options = options
        self.typical_seconds = 3.0 if quantiles else 0.3

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(working("syscall", *self._options, *self._operations)) as instance:
            _, *found = at_least(2, answers(instance))
        values = {}
        for answer in found:
            if "unavailable" not in answer:
                values.update(self._values(answer))
        return values

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """What the results depend on, as an instance of this sandbox sees it: kernel, clock, seccomp, mitigations.

        Names the operations that do not exist there, with the reason.
        """
        with sandbox.launch(working("syscall", *self._options, "about")) as instance:
            about = only(answers(instance))
        with sandbox.launch(working("syscall", *self._options, "--batches=1", *self._operations)) as instance:
            _, *found = at_least(2, answers(instance))
        facts = {key: str(about[key]) for key in _FACTS if key in about}
        mitigations = [f"{key}: {about[key]}" for key in about if key not in (*_FACTS, "batch_ns")]
        if mitigations:
            facts["mitigations"] = "; ".join(mitigations)
        clock = str(about.get("clocksource", ""))
        if clock == "tsc-early":
            facts["clock"] = "provisional: the kernel refines the rate of tsc about a second after its boot"
        elif clock and clock not in _STABLE_CLOCKS:
            facts["clock"] = f"not stable: {clock}; reading the time enters the kernel"
        for answer in found:
            if "unavailable" in answer:
                facts[f"without.{text(answer, 'name')}"] = str(answer["unavailable"])
        return facts

    def _values(self, answer: Mapping[str, Any]) -> dict[str, float]:
        """Seconds by metric, from the nanoseconds of one operation's batches."""
        name, batches = times(answer, self._operations)
        values = {name: median(batches) / 1e9}
        for suffix, share in self._quantiles.items():
            values[f"{name}.{suffix}"] = nearest_rank(batches, share) / 1e9
        return values


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed: always one that was measured
    (nearest-rank method)."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


_PAIRS = (Counter.PSI_CPU,)  # two processes on one CPU wait for it, which adds up if all pairs are measured

SCENARIOS: tuple[Scenario, ...] = (
    Syscall("syscall", "System calls", USUAL, options=("--pin",), groups=("default",)),
    Syscall(
        "syscall-all",
        "All system calls",
        tuple(MEANINGS),
        options=("--batches=100",),
        quantiles=True,
        expected_interference=_PAIRS,
    ),
    Syscall(
        "syscall-pinned",
        "All system calls, on one CPU",
        tuple(name for name in MEANINGS if name != "pipe-2cpu"),
        options=("--batches=100", "--pin"),
        quantiles=True,
        expected_interference=_PAIRS,
    ),
)
