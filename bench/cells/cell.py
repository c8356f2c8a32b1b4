"""One cell of a block: a scenario is measured once in one environment."""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts import sight
from isobench.contracts.capabilities import OF_SANDBOXES
from isobench.core import deadlines
from isobench.core.errors import MeasurementError, StoppedShort
from isobench.host import machine
from isobench.host.reasons import as_text, reason_with_remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.launch import Launch
    from isobench.contracts.scenario import Scenario


class Measured(NamedTuple):
    """The outcome of a cell; without values if it failed."""

    values: Mapping[str, float]
    short: str
    """Why some values are missing; empty if all are there."""
    failure: str | None
    """Why the cell failed; None if it did not."""
    console: str
    started: float
    """Seconds on the monotonic clock."""
    seconds: float
    inside: float
    """Seconds of these that an instance lived."""
    interference: dict[str, float]


def measured(scenario: Scenario, sandbox: Sandbox) -> Measured:
    """Measure a cell. An error must not affect other cells, so any error becomes the outcome of this one."""
    timed = TimedSandbox(sandbox)
    values: Mapping[str, float] = {}
    short, failure, console = "", None, ""
    gc.collect()
    before, started = machine.read(), time.monotonic()
    gc.disable()
    try:
        values, short = _values(scenario, timed)
    except Exception as error:
        failure, console = reason_with_remedy(error), as_text(str(getattr(error, "console", "")))
    finally:
        gc.enable()
    seconds = time.monotonic() - started
    interference = machine.delta(before, machine.read())
    return Measured(values, short, failure, console, started, seconds, min(timed.inside, seconds), interference)


def _values(scenario: Scenario, sandbox: Sandbox) -> tuple[Mapping[str, float], str]:
    """The values, and why some are missing: it stopped short, or they depend on what cannot be observed here.

    Raises `MeasurementError` if a value cannot be one of the scenario's metrics.
    """
    reason = ""
    try:
        values = scenario.measure(sandbox)
    except StoppedShort as error:
        values, reason = error.values, as_text(error.reason)
    known = {metric.name: metric for metric in scenario.metrics}
    for name, value in values.items():
        if name not in known:
            raise MeasurementError(f"{scenario.name} returned {name!r}, which is not one of its metrics")
        if not known[name].can_be(value):
            raise MeasurementError(f"{name} is {value}: {_CAN_BE[known[name].sign]}")
    absent = sight.hidden(scenario, sight.unseen(sandbox))
    values = {name: value for name, value in values.items() if name not in absent}
    return values, "; ".join(filter(None, (reason, sight.in_words(absent))))


_CAN_BE = {"positive": "it must be positive", "zero": "it must not be negative", "any": "it must be finite"}


class TimedSandbox:
    """A sandbox that adds up the seconds its instances lived, from requested to gone.

    It has whatever capabilities the sandbox has (a guest's memory, a published port), as members of its own, so that
    `isinstance` finds them.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.inside = 0.0
        vars(self).update({name: getattr(sandbox, name) for name in OF_SANDBOXES if hasattr(sandbox, name)})

    def facts(self) -> Mapping[str, str]:
        return self._sandbox.facts()

    def daemons(self) -> list[int]:
        return self._sandbox.daemons()

    def launch(self, launch: Launch) -> AbstractContextManager[Instance]:
        return self._launch(launch._replace(timeout=deadlines.scaled(launch.timeout)))

    @contextmanager
    def _launch(self, launch: Launch) -> Iterator[Instance]:
        with self._sandbox.launch(launch) as instance:
            yield instance
        events = instance.events
        if "requested" in events and "gone" in events:
            self.inside += (events["gone"] - events["requested"]) / 1e9
