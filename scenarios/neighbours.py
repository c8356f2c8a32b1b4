"""Noisy neighbours: what an instance costs beside another of the same kind that takes all that it can get.

The victims are measurements of other scenarios, here as means instead of medians: a victim that loses its CPU is slow
in a few batches only. Alone and beside each aggressor they are measured in the same blocks, each in a scenario of its
own, so that these follow each other in random order and fail separately. Only the aggressor is ever limited, so that
the cost alone is the same reference for all.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from isobench.contracts.answers import NoDirectIO, answers, at_least, only, text, times
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import working
from isobench.core.errors import StoppedShort, Unavailable
from isobench.core.model import Metric, start_seconds
from isobench.host.counters import Counter
from isobench.scenarios._aggressors import AGGRESSORS
from isobench.scenarios._fio import MOST_BYTES, NothingTimed, costs, lacks_fio, read_job, results, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.capabilities import Lack
    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario
    from isobench.scenarios._aggressors import Aggressor

_CALLS = {"getppid": "syscall", "tcp": "round-trip"}
"""The probe's operation -> the victim's metric."""
_LAYOUT = read_job("neighbours", "layout")
_JOBS = tuple(read_job("neighbours", name) for name in ("read", "fsync"))
_TAIL = "p99"
_OF = {True: " of the sync alone", False: " of one operation"}
_METRICS = (
    Metric("start", "second", "from the request for one more instance to its first byte"),
    Metric("syscall", "second", "one trivial system call, the mean of 400 batches"),
    Metric(
        "round-trip", "second", "sending 1 byte over TCP on the loopback and getting it back, the mean of 400 batches"
    ),
    *(Metric(job.name, "second", f"one operation: {job.meaning}") for job in _JOBS),
    *(
        Metric(f"{job.name}-{_TAIL}", "second", f"99th percentile{_OF[job.syncs]}: {job.meaning}", "zero")
        for job in _JOBS
    ),
    Metric("redis", "second", "one GET of redis over a unix socket, of 20 clients that each wait for the answer"),
)


class Beside:
    """The victims beside one aggressor, or alone (`isobench.contracts.scenario.Scenario`)."""

    groups = frozenset({"neighbours"})
    typical_seconds = 5.0
    metrics = _METRICS

    def __init__(self, aggressor: Aggressor | None, *, limited: bool = False) -> None:
        self._aggressor = aggressor
        self._limited = limited
        self.needs = frozenset({Capability.PROBE, Capability.ROOTFS, Capability.COMMAND})
        self.expected_interference: frozenset[Counter] = frozenset()
        if aggressor is None:
            self.name, self.title = "neighbour-none", "Alone, without a neighbour"
            return
        self.name = f"neighbour-{aggressor.name}{'-limited' if limited else ''}"
        self.title = f"Beside one that {aggressor.does}{', with limits' if limited else ''}"
        self.expected_interference = aggressor.presses
        if limited:
            self.needs |= {Capability.LIMIT_CPU, Capability.LIMIT_MEMORY} | aggressor.needs
            self.expected_interference |= {Counter.THROTTLED, Counter.PSI_MEMORY}

    def lacks(self) -> Lack | None:
        from isobench.scenarios import _commands, _pressing, _redis

        return lacks_fio() or _pressing.lacks() or _commands.lack(_redis.made())

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        from isobench.scenarios import _pressing

        refused = _pressing.refuses(sandbox)
        if refused:
            raise StoppedShort(refused, {})
        try:
            with ExitStack() as beside:
                if self._aggressor is not None:
                    beside.enter_context(_pressing.pressing(self._aggressor, sandbox, limited=self._limited))
                return _victims(sandbox)
        except Unavailable as error:  # the limit cannot be set
            raise StoppedShort(error.reason, {}) from error

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The aggressor's command line and its limits; for the scenario without one, which victims do not exist
        there."""
        from isobench.scenarios import _pressing

        if self._aggressor is not None:
            return _pressing.facts(self._aggressor, limited=self._limited)
        with sandbox.launch(working("syscall", "--batches=1", "--pin", *_CALLS)) as instance:
            _, *found = at_least(2, answers(instance))
        missing = {text(answer, "name"): str(answer["unavailable"]) for answer in found if "unavailable" in answer}
        return {f"without.{victim}": missing[call] for call, victim in _CALLS.items() if call in missing}


def _victims(sandbox: Sandbox) -> dict[str, float]:
    """Three instances: one that makes system calls and whose start is timed, one that reads and syncs, and redis."""
    from isobench.scenarios import _redis

    with sandbox.launch(working("syscall", "--batches=400", "--pin", *_CALLS)) as instance:
        _, *found = at_least(2, answers(instance))
    values = {}
    for answer in found:
        if "unavailable" not in answer:
            name, batches = times(answer, _CALLS)
            values[_CALLS[name]] = sum(batches) / len(batches) / 1e9
    values["start"] = start_seconds(instance.events)
    words = [word for job in (_LAYOUT, *_JOBS) for word in job.words()]
    untimed: list[StoppedShort | NothingTimed] = []
    jobs = _JOBS
    try:
        with sandbox.launch(working("fio", *words, disk=True)) as instance:
            done = results(only(answers(instance, most=MOST_BYTES)))
    except NoDirectIO as error:
        untimed, jobs = [error], ()
    values["redis"] = _redis.get(sandbox)
    for job in jobs:
        try:
            values |= costs(job, done.get(job.name, {}), [_TAIL])
        except NothingTimed as error:
            untimed.append(error)
    return dict(told(values, untimed))


SCENARIOS: tuple[Scenario, ...] = (
    Beside(None),
    *(Beside(aggressor) for aggressor in AGGRESSORS),
    *(Beside(aggressor, limited=True) for aggressor in AGGRESSORS),
)
