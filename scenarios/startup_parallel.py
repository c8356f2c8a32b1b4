"""Many starts at once, and one start beside many idle instances."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from isobench.contracts.answers import median
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import idle
from isobench.core import deadlines
from isobench.core.errors import StoppedShort
from isobench.core.model import Metric, start_seconds
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario
    from isobench.resources.capacity import Capacity

AT_ONCE = (1, 2, 4, 8, 16, 32)
BESIDE = (0, 8, 32, 64)
PATIENCE = 20.0
"""Seconds: if a step took longer, the next one is not taken."""

_EXPECTED = frozenset({Counter.PSI_CPU, Counter.PSI_IO})
"""Many instances at once wait for the CPUs and the disk even on an idle host."""


class StartupParallel:
    """N instances requested at the same moment, each from a thread of its own."""

    name = "startup-parallel"
    title = "Many starts at once"
    needs = frozenset({Capability.READY})
    groups: frozenset[str] = frozenset()
    expected_interference = _EXPECTED
    metrics = tuple(
        Metric(f"{what}-{count}", "second", f"{meaning}, {count} requested at once")
        for count in AT_ONCE
        for what, meaning in (
            ("median", "median time from the request to the first byte"),
            ("p99", "99th percentile of the time from the request to the first byte"),
            ("last", "from the first request until the last is ready"),
        )
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.resources.capacity import Capacity

        values: dict[str, float] = {}
        capacity = Capacity()
        for count in AT_ONCE:
            _check(capacity, count, values)
            began = time.monotonic()
            with ExitStack() as stack:
                instances = launch_at_once(sandbox, count, stack)
                capacity.learn(count)
            events = [instance.events for instance in instances]
            ready = sorted(start_seconds(e) for e in events)
            values[f"median-{count}"] = median(ready)
            values[f"p99-{count}"] = ready[round(0.99 * (len(ready) - 1))]
            values[f"last-{count}"] = (max(e["ready"] for e in events) - min(e["requested"] for e in events)) / 1e9
            if count < AT_ONCE[-1]:
                _check_patience(began, count, values)
        return values


class StartupCrowded:
    """One more start next to idle instances of the same environment."""

    name = "startup-crowded"
    title = "One start beside idle instances"
    needs = frozenset({Capability.READY})
    groups: frozenset[str] = frozenset()
    expected_interference = _EXPECTED
    metrics = tuple(
        Metric(f"ready-{count}", "second", f"from the request to the first byte, beside {count} idle instances")
        for count in BESIDE
    )

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.resources.capacity import Capacity

        values: dict[str, float] = {}
        capacity = Capacity()
        with ExitStack() as stack:
            living = 0
            for count in BESIDE:
                _check(capacity, count - living, values)
                began = time.monotonic()
                while living < count:
                    stack.enter_context(sandbox.launch(idle()))
                    living += 1
                capacity.learn(living)
                with sandbox.launch(idle()) as one_more:
                    one_more.wait()
                events = one_more.events
                values[f"ready-{count}"] = start_seconds(events)
                if count < BESIDE[-1]:
                    _check_patience(began, count, values)
        return values


def launch_at_once(sandbox: Sandbox, count: int, stack: ExitStack) -> list[Instance]:
    """Launch `count` instances, all requests released by one barrier; they live until `stack` is closed."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    barrier = threading.Barrier(count)

    def one() -> Instance:
        context = sandbox.launch(idle())
        barrier.wait(deadlines.stretched(60))
        instance = context.__enter__()
        with lock:
            stack.push(context.__exit__)
        return instance

    lock = threading.Lock()
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(count)]]


def _check(capacity: Capacity, count: int, values: Mapping[str, float]) -> None:
    reason = capacity.refuses(count)
    if reason:
        raise StoppedShort(reason, values)


def _check_patience(began: float, count: int, values: Mapping[str, float]) -> None:
    took = time.monotonic() - began
    if took > PATIENCE:
        raise StoppedShort(f"stopped at {count} instances: they took {took:.0f} s, more than {PATIENCE:.0f}", values)


SCENARIOS: tuple[Scenario, ...] = (StartupParallel(), StartupCrowded())
