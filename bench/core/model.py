"""The small frozen records that every layer shares, and the names of the startup events.

Free of heavy imports: `isobench list` needs nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Unit = Literal["second", "byte"]
Sign = Literal["positive", "zero", "any"]
"""Which values a metric can have: above zero, zero as well, or any (a slope, a difference)."""

BASELINE = "process"
"""The environment every ratio is taken against, unless `--baseline` names another."""

CONTROL_SUFFIX = "@control"
"""Appended to the baseline's name for its second copy in each block (the live A/A control)."""

BAND = 0.05
"""Equivalent means: the whole interval lies between 1/1.05 and 1.05 times the baseline."""

EVENTS = ("requested", "created", "attached", "started", "booted", "ready", "released", "exited", "removed", "gone")
"""The startup events in order, all on the host's CLOCK_MONOTONIC, in nanoseconds.

requested  the harness asks for an instance
created    the mechanism says it exists (first instruction of a cloned child, create() of an engine, createXML())
attached   its standard streams are connected (engines only)
started    the mechanism is about to run the program (just before exec; an engine's start request is sent)
booted     the guest's kernel has handed over to its user space (virtual machines with a kernel only)
ready      the first byte that the program itself sends has reached the host
released   the harness tells it to finish; the time between ready and released is the harness's and counts nowhere
exited     the program, or the VMM that runs it, has ended
removed    the engine says that it is removed (engines only)
gone       everything it used is freed: processes reaped, cgroups and network namespaces gone, sockets unlinked
An environment stamps the events that it has; requested, ready, released, exited and gone are mandatory.
"""


def start_seconds(events: Mapping[str, int]) -> float:
    """From the request for an instance to its first byte."""
    return (events["ready"] - events["requested"]) / 1e9


class Purpose(NamedTuple):
    """Something that people choose an isolation for: a column of the report's verdict."""

    order: int
    """Position of its column, ascending."""
    title: str
    """Its name: "Startup"."""
    number: str
    """What its number is: "request to first byte"."""


class Metric(NamedTuple):
    """One kind of cost: lower is better. `name` is unique within its scenario."""

    name: str
    unit: Unit
    meaning: str
    sign: Sign = "positive"
    purpose: Purpose | None = None
    """The purpose that it represents in the verdict. Of several metrics with one purpose, the first that was measured
    counts."""

    def can_be(self, value: float) -> bool:
        """Whether this is a value of the metric."""
        if not math.isfinite(value):
            return False
        return value > 0 or self.sign == "any" or (value == 0 and self.sign == "zero")
