"""Capacity: the number of instances that can each answer a small rate of requests, until the latency of one passes a
bound.

All instances do the same (bench/probe/load.c); the first of them is the victim, whose requests are timed. Costs are
absolute, at each number of instances: the 99th percentile of the victim's latency, and the CPU time and the memory of
all. The report derives the number at which the percentile passes the bound, block by block.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from isobench.contracts.answers import first_answer, next_answer, times
from isobench.contracts.capabilities import Capability, Part
from isobench.contracts.launch import working
from isobench.core.errors import MeasurementError, StoppedShort
from isobench.core.model import Metric
from isobench.host.counters import Counter
from isobench.processes.accounting import cpu_seconds, descendants
from isobench.scenarios.limits import go_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.launch import Launch
    from isobench.contracts.scenario import Scenario

COUNTS: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BOUND = 0.02
"""Seconds: the largest 99th percentile of the victim's latency that is within the bound; two periods of its
requests."""
RATE = 100
"""Requests a second of each instance."""
ROUNDS = 400_000
"""Steps of arithmetic in a request: about half a millisecond of a CPU, so that an instance takes about 5 % of one."""
REQUESTS = 300
"""Timed requests of the victim at each number of instances."""
SETTLE_SECONDS = 1.0
"""Seconds between the start of the last instance and the first timed request, so that the starts delay none."""
PATIENCE = 60.0
"""Seconds: after a longer step, the block ends."""
LIFETIME = 1200.0
"""Seconds after which an instance is given up; longer than all steps together."""

_EACH = f"each with {RATE} requests a second of {ROUNDS} steps"


def _in_words(count: int) -> str:
    return f"{count} instance{'s' if count > 1 else ''}, {_EACH}"


class UnderLoad:
    """More and more instances under load in one block, until the bound is passed or the host has no room."""

    name = "capacity"
    title = "Many instances under a small load"
    needs = frozenset({Capability.PROBE})
    groups: frozenset[str] = frozenset()
    typical_seconds = 30.0
    sees: Mapping[Part, tuple[str, ...]] = {Part.PROCESSES: ("cpu-*",)}
    expected_interference = frozenset({Counter.PSI_CPU, Counter.PSI_IO, Counter.PSI_MEMORY})
    metrics = (
        *(
            Metric(f"p99-{count}", "second", f"99th percentile of {REQUESTS} requests of one of {_in_words(count)}")
            for count in COUNTS
        ),
        *(
            Metric(f"cpu-{count}", "second", f"CPU time in a second of the host's processes of {_in_words(count)}")
            for count in COUNTS
        ),
        *(
            Metric(f"memory-{count}", "byte", f"decrease of available memory with {_in_words(count)}", "any")
            for count in COUNTS
        ),
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.resources.capacity import Capacity
        from isobench.resources.memory import available_memory

        capacity, empty = Capacity(), available_memory()
        values, reason = dict[str, float](), ""
        with ExitStack() as stack:
            living: list[Instance] = []
            for count in COUNTS:
                reason = capacity.refuses(count - len(living))
                if reason:
                    break
                began = time.monotonic()
                while len(living) < count:
                    living.append(stack.enter_context(sandbox.launch(_launch(is_victim=not living))))
                time.sleep(SETTLE_SECONDS)
                found = _look(living) | {"memory": float(empty - available_memory())}
                values |= {f"{what}-{count}": value for what, value in found.items()}
                capacity.learn(count)
                took = time.monotonic() - began
                if found["p99"] > BOUND:
                    break
                if took > PATIENCE and count < COUNTS[-1]:
                    reason = f"stopped at {count} instances: they took {took:.0f} s, more than {PATIENCE:.0f}"
                    break
            _end(living[1:])
        if reason:
            raise StoppedShort(reason, values)
        return values

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The bound, from which the report derives how many instances there may be."""
        return {"bound": f"{BOUND:g}"}


def _launch(*, is_victim: bool) -> Launch:
    words = ("load", str(RATE), str(ROUNDS), *([str(REQUESTS)] if is_victim else []))
    return working(*words, timeout=LIFETIME)._replace(watch_end=False)


def _look(living: Sequence[Instance]) -> dict[str, float]:
    """The 99th percentile of the victim's latency, and the CPU time per second of all instances meanwhile, if it is
    visible."""
    pids = {pid for one in living for own in one.host_pids() for pid in (own, *descendants(own))}
    before, began = sum(map(cpu_seconds, pids)), time.monotonic()
    late = _percentile(living[0], is_first=len(living) == 1)
    spent, took = sum(map(cpu_seconds, pids)) - before, time.monotonic() - began
    return {"p99": late, **({"cpu": spent / took} if spent > 0 else {})}


def _percentile(victim: Instance, *, is_first: bool) -> float:
    """The 99th percentile of the latency of its next requests, in seconds."""
    go_on(victim)
    answer = first_answer(victim.stdout) if is_first else next_answer(victim.stdout)
    _, taken = times(answer, ("request",))
    return sorted(taken)[round(0.99 * (len(taken) - 1))] / 1e9


def _end(others: Sequence[Instance]) -> None:
    """Release them. Raises `MeasurementError` if one had ended before: then the load was too low."""
    statuses = [one.wait() for one in others]
    if any(statuses):
        ended = sum(status != 0 for status in statuses)
        raise MeasurementError(f"{ended} of {len(others)} instances beside the victim ended early")


SCENARIOS: tuple[Scenario, ...] = (UnderLoad(),)
