"""The first page's data about one machine: small enough to be stored until its next night."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from isobench.layout import format
from isobench.nights.trend import FEWEST, Alert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.site.machine import Machine


HOSTS = "hosts"
"""The folder that contains one folder per machine."""
_LATE = 1.5
"""A machine's next run is late after so many times the usual gap between runs, and so many days."""
_LATELY = 10
"""The last runs from which the usual gap is computed."""


class Summary(msgspec.Struct, frozen=True):
    """One machine."""

    host_id: str
    folder: str
    hardware: str
    runs: int
    first: str
    newest: str
    """Start of its newest run."""
    label: str
    report: str
    """Address of that run's report, relative to the machine's folder; empty if there is none."""
    gap: float
    """The usual number of days between two runs, by the last few; 1 if nothing is known."""
    watched: int
    gone: list[str]
    """Environments of the previous run that the newest lacks."""
    alerts: list[Alert]
    costs: dict[str, str] = {}
    """By name the ratio to the baseline in the newest run, or the value if there is no ratio."""

    @property
    def address(self) -> str:
        """The address of its folder of pages, relative to the first page."""
        return f"{HOSTS}/{self.folder}/"

    @property
    def news(self) -> list[Alert]:
        return [alert for alert in self.alerts if alert.news]

    @property
    def gone_words(self) -> str:
        """ "docker was measured in the run before, and not in the newest."."""
        names = format.listing([format.clean(name, 60) for name in self.gone], 6)
        verb = "was" if len(self.gone) == 1 else "were"
        return f"{names} {verb} measured in the run before, and not in the newest."


def of(machine: Machine) -> Summary:
    newest = machine.nights[-1]
    before = machine.nights[-2] if len(machine.nights) > 1 else newest
    now = {point.environment for point in newest.points}
    gone = [name for name in dict.fromkeys(point.environment for point in before.points) if name not in now]
    return Summary(
        machine.host_id,
        machine.folder,
        machine.hardware,
        len(machine.nights),
        machine.nights[0].started,
        newest.started,
        newest.label,
        machine.reports[-1],
        _gap([night.started for night in machine.nights[-_LATELY:]]),
        machine.watched,
        gone,
        list(machine.alerts),
        _costs(machine),
    )


def current(machines: Sequence[Summary]) -> list[Summary]:
    """The machines with the newest run first, without those that another machine with the same host id has replaced.
    Two that are both still measured, such as clones with one id, both stay."""
    known = ordered(machines)
    last: dict[str, Summary] = {}
    for one in known:
        last.setdefault(one.host_id, one)
    return [one for one in known if last[one.host_id] is one or not is_late(one, known[0].newest)]


def is_late(one: Summary, newest: str) -> bool:
    """Whether a machine has had no run for longer than usual, when another's newest began."""
    return days(one.newest, newest) >= _LATE * max(one.gap, 1.0)


def names(machines: Sequence[Summary]) -> dict[str, str]:
    """The names of machines by folder, with the hardware if another machine has the same host id."""
    ids = Counter(one.host_id for one in machines)
    return {
        one.folder: format.clean(one.host_id, 100)
        + (f" ({one.hardware})" if ids[one.host_id] > 1 and one.hardware else "")
        for one in machines
    }


def ordered(machines: Sequence[Summary]) -> list[Summary]:
    """The machines with the newest run first; equal starts by name."""
    by_name = sorted(machines, key=lambda one: one.folder)
    return sorted(by_name, key=lambda one: one.newest, reverse=True)


def _costs(machine: Machine) -> dict[str, str]:
    last = len(machine.nights) - 1
    found = {}
    for (metric, environment), newest in machine.newest.items():
        if newest.night == last:
            point = newest.point
            ratio = newest.estimate.ratio if newest.estimate is not None else point.ratio
            relative = ratio == ratio and environment != machine.nights[last].baseline
            words = format.ratio(ratio) if relative else format.quantity(point.value, point.unit)
            found[f"{metric}/{environment}"] = words
    return found


def days(earlier: str, later: str) -> float:
    """Days between two stamps; 0 if one of them is invalid."""
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() / 86400
    except ValueError:
        return 0.0


def _gap(starts: Sequence[str]) -> float:
    gaps = [days(before, after) for before, after in pairwise(starts)]
    return median(gaps) if gaps else 1.0


def verdict(machines: Sequence[Summary], but: bool) -> str:
    """The sentence for a night without news; with `but` other notes follow. It makes no claim if nothing could have
    been found."""
    unknown = sum(not one.watched for one in machines)
    if not machines:
        return "No run could be read."
    if unknown == len(machines):
        return f"No change can be known yet: a cost is watched once one host has {FEWEST} runs with it."
    where = " on the hosts that have enough runs" if unknown else ""
    return f"No cost changed{where}, but:" if but else f"Nothing changed{where}."
