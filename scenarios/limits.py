"""Limits: how much of its limit an instance can use, and what a program sees that wants more.

Costs are absolute (CPU time in a second, bytes, seconds); the report derives the share of the limit that was reached.
For that, a metric's name ends in the limit: percent of a CPU, MiB, MiB/s, operations a second. The numbers of processes
and files do not vary from block to block, so they are facts.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from isobench.contracts.answers import answers, first_answer, next_answer, only, whole
from isobench.contracts.capabilities import Capability, GivesMemory, Part
from isobench.contracts.launch import limited, working
from isobench.core.errors import MeasurementError, OutOfMemory, ProbeError, StoppedShort, Unavailable
from isobench.core.model import Metric
from isobench.host.counters import Counter
from isobench.processes.accounting import cpu_seconds, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

GROUP = frozenset({"limits"})

QUOTAS: tuple[int, ...] = (20, 50, 150)
"""Percent of one CPU."""
WINDOW = 2.0
"""Seconds in which the CPU time is counted: many of the kernel's periods of 0.1 s, each of which has a new quota."""
_REST = 0.3
"""Seconds after which a quota is in steady state: a fresh cgroup begins with an unused quota, and a throttled instance
waits for the next period."""
_ROUNDS = 200_000_000
"""The fixed piece of work: about 0.25 s of a CPU."""
_WORK = f"a fixed piece of work ({_ROUNDS // 10**6} million steps)"


class LimitCpu:
    """A quota of CPU time. One instance per quota keeps as many CPUs busy as the quota allows."""

    name = "limit-cpu"
    title = "CPU quota: set and used"
    needs = frozenset({Capability.PROBE, Capability.LIMIT_CPU})
    groups = GROUP
    typical_seconds = 11.0
    sees: Mapping[Part, tuple[str, ...]] = {Part.PROCESSES: ("had-*",)}
    expected_interference = frozenset({Counter.PSI_CPU, Counter.THROTTLED})
    """A throttled task waits for a CPU, and an engine's cgroup reports that it was throttled."""
    metrics = (
        *(Metric(f"work-{percent}", "second", f"{_WORK}, with a quota of {percent} %") for percent in QUOTAS),
        Metric("work", "second", f"{_WORK}, without a limit"),
        *(
            Metric(f"had-{percent}", "second", f"CPU time used per second with a quota of {percent} %, counted outside")
            for percent in QUOTAS
        ),
        *(
            Metric(f"stall-{percent}", "second", f"the longest time without any CPU, with a quota of {percent} %")
            for percent in QUOTAS
        ),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        usable = [percent for percent in QUOTAS if _threads(percent) <= len(os.sched_getaffinity(0))]
        values = {"work": _burnt(sandbox, 0)["work"]}
        for percent in usable:
            values |= {f"{name}-{percent}": value for name, value in _burnt(sandbox, percent).items()}
        if usable != list(QUOTAS):
            raise StoppedShort(f"without {max(QUOTAS)} %: the host has too few CPUs for that", values)
        return values


def _threads(percent: int) -> int:
    return max(1, -(-percent // 100))


def _burnt(sandbox: Sandbox, percent: int) -> dict[str, float]:
    """What one instance gets with this quota; 0 is without a limit, which only times the work."""
    threads = _threads(percent)
    launch = limited(working("burn", str(threads), str(_ROUNDS)), cpus=threads, cpu_percent=percent)
    with sandbox.launch(launch) as instance:
        go_on(instance)
        whole(first_answer(instance.stdout), "burning")
        time.sleep(_REST)
        had = _had_meanwhile(instance)[0] if percent else 0.0
        go_on(instance)
        stall = whole(next_answer(instance.stdout), "stall") / 1e9
        time.sleep(_REST)
        go_on(instance)
        work = whole(next_answer(instance.stdout), "work") / 1e9
        instance.wait()
    return {"stall": stall, "work": work, **({"had": had} if had else {})}


def go_on(instance: Instance) -> None:
    with suppress(OSError):  # if it has ended, reading from it reports why
        instance.stdin.write(b"\n")


def _had_meanwhile(*instances: Instance) -> list[float]:
    """CPU seconds of each program, or of the VMM that runs it, per second of the host's clock; 0 if it cannot be seen.

    Not by the clocks inside: a guest also counts time in which its host did not run it.
    """
    before, began = [_cpu_seconds(instance) for instance in instances], time.monotonic()
    time.sleep(WINDOW)
    after, ended = [_cpu_seconds(instance) for instance in instances], time.monotonic()
    return [(late - early) / (ended - began) for early, late in zip(before, after, strict=True)]


def _cpu_seconds(instance: Instance) -> float:
    return sum(cpu_seconds(pid) for pid, role in instance.host_pids().items() if role == "payload")


WEIGHTS = (1, 2)
"""The weights of two competing instances, as multiples of the default."""


class CpuWeight:
    """Two instances that compete for one CPU; one has twice the weight."""

    name = "cpu-weight"
    title = "CPU weight: the shares of two competitors"
    needs = frozenset({Capability.PROBE, Capability.CPU_WEIGHT})
    groups = GROUP
    typical_seconds = 3.0
    expected_interference = LimitCpu.expected_interference
    metrics = tuple(
        Metric(f"had-{weight}", "second", f"CPU time used per second beside a competitor, with a weight of {weight}")
        for weight in WEIGHTS
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        burning = working("burn", "1", "1")
        with ExitStack() as stack:
            both = [
                stack.enter_context(sandbox.launch(limited(burning, cpu_weight=100 * weight))) for weight in WEIGHTS
            ]
            if not all(_confined(instance) for instance in both):
                raise StoppedShort("its processes cannot be seen, so they cannot be made to compete", {})
            for instance in both:
                go_on(instance)
                whole(first_answer(instance.stdout), "burning")
            time.sleep(_REST)
            had = _had_meanwhile(*both)
            for answer in ("stall", "work"):
                for instance in both:
                    go_on(instance)
                for instance in both:
                    whole(next_answer(instance.stdout), answer)
            for instance in both:
                instance.wait()
        return {f"had-{weight}": seconds for weight, seconds in zip(WEIGHTS, had, strict=True)}


def _confined(instance: Instance) -> bool:
    """Confine the program, or the VMM that runs it, to the last CPU of this process; returns whether it can be seen."""
    cpu = max(os.sched_getaffinity(0))
    pids = [pid for pid, role in instance.host_pids().items() if role == "payload"]
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), {cpu})
    return bool(pids)


SIZES = (64, 256)
"""MiB."""


class LimitMemory:
    """A limit of memory. A child of the program takes page after page, until the kernel kills it or refuses."""

    name = "limit-memory"
    title = "Memory limit: set and usable"
    needs = frozenset({Capability.PROBE, Capability.LIMIT_MEMORY})
    groups = GROUP
    typical_seconds = 0.5
    expected_interference = frozenset({Counter.PSI_MEMORY})
    metrics = (
        *(
            Metric(f"end-{size}", "second", f"from a program's last page with {size} MiB until it is gone")
            for size in SIZES
        ),
        *(
            Metric(f"had-{size}", "byte", f"anonymous memory that a program could use with a limit of {size} MiB")
            for size in SIZES
        ),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        values: dict[str, float] = {}
        without: list[str] = []
        for size in SIZES:
            try:
                had = _hoarded(sandbox, size)
            except MeasurementError as error:
                # a guest's kernel may need more than the first of them
                if size == SIZES[-1] or not isinstance(sandbox, GivesMemory):
                    raise
                without.append(f"without {size} MiB: {error.reason}")
                continue
            values[f"had-{size}"] = float(whole(had, "bytes"))
            if whole(had, "signal") or whole(had, "errno"):
                values[f"end-{size}"] = whole(had, "ns") / 1e9
        if without:
            raise StoppedShort("; ".join(without), values)
        return values

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """How the program learns that there is no more, and whether it has more where some may be swapped."""
        had = _hoarded(sandbox, max(SIZES))
        return {"end": _end(had, max(SIZES)), "swap": _with_swap(sandbox)}


def _end(had: Mapping[str, Any], size: int) -> str:
    from isobench.core import signals

    if whole(had, "signal"):
        return f"killed ({signals.name_of(whole(had, 'signal'))})"
    return _error(had) or f"not enforced: it got {whole(had, 'bytes') >> 20} of {size} MiB"


def _with_swap(sandbox: Sandbox) -> str:
    """How much a program can use whose swap limit is as large as its memory limit."""
    from isobench.resources.cgroups import limits_swap

    if isinstance(sandbox, GivesMemory):
        return "the guest has none of its own"
    if not any(line.strip() for line in text_of("/proc/swaps").splitlines()[1:]):
        return "the host has none"
    if not limits_swap():
        return "this kernel limits none (swapaccount=0)"
    size = min(SIZES)
    had = _hoarded(sandbox, size, swap=size)
    return f"with {size} MiB of memory and as much swap it got {whole(had, 'bytes') >> 20} MiB: {_end(had, 2 * size)}"


def _hoarded(sandbox: Sandbox, size: int, *, swap: int = 0) -> dict[str, Any]:
    """What a child could use with this memory limit and this swap limit, both in MiB. It stops by itself at twice their
    sum."""
    most = str((size + swap) << 21)
    launch = limited(working("hoard", most), memory_bytes=size << 20, swap_bytes=swap << 20)
    with sandbox.launch(launch) as instance:
        had = first_answer(instance.stdout)
        with suppress(OutOfMemory):  # expected; some mechanisms report it
            instance.wait()
    return had


COUNT = 64
"""The limit of processes and of open files: more than an idle container has."""


class LimitCount:
    """A limit of processes or of open files: how many the program could have, and the error that it sees."""

    groups = GROUP
    metrics: tuple[Metric, ...] = ()

    def __init__(self, what: str, title: str, verb: str, limit: str, needed: Capability) -> None:
        self.name = f"limit-{what}"
        self.title = title
        self.needs = frozenset({Capability.PROBE, needed})
        self._verb = verb
        self._limit = limit

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """There is nothing to measure, because the facts do not vary from block to block."""
        return {}

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        with sandbox.launch(limited(working(self._verb, str(2 * COUNT)), **{self._limit: COUNT})) as instance:
            had = only(answers(instance))
        count = whole(had, "count")
        return {"set": str(COUNT), "had": str(count), "error": _error(had) or "none: the limit is not enforced"}


RATE = 4
"""MiB a second."""
_MOVED = 8
"""MiB written or read: two seconds at that rate."""


class LimitDisk:
    """A limit of what is written to and read from the disk: direct, and through the page cache, when writing until all
    is on the disk.

    In cgroup version 1, writeback by the kernel's threads belongs to no cgroup, and so is not limited.
    """

    name = "limit-disk"
    title = "Limit of the disk's bytes per second: set and reached"
    needs = frozenset({Capability.PROBE, Capability.ROOTFS, Capability.LIMIT_DISK})
    groups = GROUP
    typical_seconds = 9.0
    expected_interference = frozenset({Counter.PSI_IO})
    metrics = (
        Metric(f"direct-{RATE}", "second", f"writing a MiB past the page cache, with a limit of {RATE} MiB/s"),
        Metric(f"buffered-{RATE}", "second", "writing a MiB into the page cache"),
        Metric(f"fsync-{RATE}", "second", "the same, until the program has brought it to the disk (fsync)"),
        Metric(f"syncfs-{RATE}", "second", "the same, until the kernel's threads have brought it there (syncfs)"),
        Metric(f"read-direct-{RATE}", "second", f"reading a MiB past the page cache, with a limit of {RATE} MiB/s"),
        Metric(f"read-buffered-{RATE}", "second", "reading a MiB through the page cache, in which it is not yet"),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        try:
            direct, fsync, syncfs = (_wrote(sandbox, how) for how in ("direct", "fsync", "syncfs"))
            read = {f"read-{how}": _read(sandbox, how) for how in ("direct", "buffered")}
        except Unavailable as error:  # nothing can be limited if the folder is not on a disk
            raise StoppedShort(error.reason, {}) from error
        seconds = {
            "direct": whole(direct, "written") / 1e9,
            "buffered": whole(fsync, "written") / 1e9,
            "fsync": whole(fsync, "synced") / 1e9,
            "syncfs": whole(syncfs, "synced") / 1e9,
            **read,
        }
        return {f"{how}-{RATE}": taken / _MOVED for how, taken in seconds.items()}


def _wrote(sandbox: Sandbox, how: str) -> Mapping[str, Any]:
    launch = limited(working("write", how, str(_MOVED << 20), disk=True), write_bytes=RATE << 20)
    with sandbox.launch(launch) as instance:
        return only(answers(instance))


def _read(sandbox: Sandbox, how: str) -> float:
    """Seconds. Only reading is limited, so that the file is soon there."""
    launch = limited(working("read", how, str(_MOVED << 20), disk=True), read_bytes=RATE << 20)
    with sandbox.launch(launch) as instance:
        return whole(only(answers(instance)), "read") / 1e9


OPERATIONS = 50
"""Writes or reads a second."""
_PIECE = 4096
"""Bytes of each: so few that a limit of bytes does not matter."""


class LimitOperations:
    """A limit of the number of direct writes and reads: the page cache would merge several into one."""

    name = "limit-operations"
    title = "Limit of the disk's operations per second: set and reached"
    needs = LimitDisk.needs
    groups = GROUP
    typical_seconds = 4.0
    expected_interference = LimitDisk.expected_interference
    metrics = (
        Metric(
            f"direct-{OPERATIONS}",
            "second",
            f"a write of 4 KiB past the page cache, with a limit of {OPERATIONS} writes a second",
        ),
        Metric(
            f"read-direct-{OPERATIONS}",
            "second",
            f"a read of 4 KiB past the page cache, with a limit of {OPERATIONS} reads a second",
        ),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        try:
            written = _one_by_one(sandbox, "write", "written", write_operations=OPERATIONS)
            read = _one_by_one(sandbox, "read", "read", read_operations=OPERATIONS)
        except Unavailable as error:  # as above
            raise StoppedShort(error.reason, {}) from error
        return {f"direct-{OPERATIONS}": written, f"read-direct-{OPERATIONS}": read}


def _one_by_one(sandbox: Sandbox, verb: str, answer: str, **limit: int) -> float:
    """Seconds of one operation."""
    count = 2 * OPERATIONS
    work = working(verb, "direct", str(count * _PIECE), str(_PIECE), disk=True)
    with sandbox.launch(limited(work, **limit)) as instance:
        return whole(only(answers(instance)), answer) / 1e9 / count


def _error(answer: Mapping[str, Any]) -> str:
    """The name and the message of the error in an answer; empty if there was none."""
    number = whole(answer, "errno")
    if number and number not in errno.errorcode:
        raise ProbeError(f"the probe answered with an error {number} that does not exist")
    return f"{errno.errorcode[number]} ({os.strerror(number)})" if number else ""


SCENARIOS: tuple[Scenario, ...] = (
    LimitCpu(),
    CpuWeight(),
    LimitMemory(),
    LimitDisk(),
    LimitOperations(),
    LimitCount("processes", "Limit of processes", "fork", "processes", Capability.LIMIT_PROCESSES),
    LimitCount("files", "Limit of open files", "open", "open_files", Capability.LIMIT_FILES),
)
