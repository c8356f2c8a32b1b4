"""The page of one machine: what is new, what everything costs, what changed, and its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import isobench
from isobench.layout import format
from isobench.site import changes, compare, cost, layout, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from isobench.nights.trend import Alert
    from isobench.site.changes import Row
    from isobench.site.machine import Machine

NAME = "index.html"
_NAMED = 6
"""The most environments that the row of a run names."""


class _Cost(NamedTuple):
    metric: str
    address: str
    environment: str
    value: str
    night: str
    """The night of the value, if that is not the newest one."""
    ratio: str
    change: str
    worse: bool
    near: str


class _Run(NamedTuple):
    began: changes.Place
    label: str
    profile: str
    blocks: str
    environments: str
    compared: str
    """Address of its comparison with the run before; empty if it has no page."""


def render(machine: Machine, rows: Sequence[Row]) -> str:
    nights = machine.nights
    newest = nights[-1]
    known = summary.of(machine)
    new = [row for row in rows if row.new]
    runs = format.count(len(nights), "run")
    lead = f"{machine.hardware}. " if machine.hardware else ""
    lead += f"{runs}, from {changes.minute(nights[0].started)} to {changes.minute(newest.started)}."
    return layout.page(
        "host",
        root="../../",
        title=format.clean(machine.host_id, 100),
        version=isobench.__version__,
        trail=[changes.Place("All hosts", "../../index.html")],
        sections=[
            ("news", "New"), ("costs", "Costs"), ("changes", "Changes"), ("runs", "Runs"), ("left-out", "Left out"),
        ],
        lead=lead,
        news=changes.together(new),
        news_total=len(new),
        newest=changes.minute(newest.started),
        report=machine.reports[-1],
        calm=bool(machine.watched) and not known.gone,
        verdict=summary.verdict([known], bool(known.gone)),
        notes=[known.gone_words] if known.gone else [],
        left_out=changes.told(machine.left_out),
        costs_caption=f"What each environment costs, against {format.clean(newest.baseline, 60)}, with the 95 % "
        f"interval of the newest run, {changes.minute(newest.started)}",
        costs=_costs(machine),
        changes=rows[::-1],
        runs=[_run(machine, index) for index in reversed(range(len(nights)))],
        any_two=compare.NAME if len(nights) > 1 else "",
    )  # fmt: skip


def _costs(machine: Machine) -> list[_Cost]:
    last = _last_changes(machine.alerts)
    found = []
    for metric, courses in machine.courses.items():
        for environment in dict.fromkeys(course.environment for course in courses):
            newest = machine.newest[metric, environment]
            night = machine.nights[newest.night]
            alert = last.get(f"{metric}/{environment}")
            place = next(course.place for course in courses if course.environment == environment)
            estimate = newest.estimate
            ratio = newest.point.ratio
            baseline = environment == night.baseline
            found.append(
                _Cost(
                    format.clean(metric, 160),
                    f"{cost.name(metric)}#{place}",
                    format.clean(environment, 100),
                    format.quantity(newest.point.value, newest.point.unit),
                    "" if newest.night == len(machine.nights) - 1 else changes.day(night.started),
                    "" if baseline else format.against(estimate) if estimate is not None else format.ratio(ratio),
                    changes.size(alert.change) if alert else "",
                    (alert.change or 1) > 1 if alert else False,
                    changes.day(alert.near) if alert else "",
                )
            )
    return found


def _last_changes(alerts: Iterable[Alert]) -> dict[str, Alert]:
    """For each cost its newest confirmed change that was not reversed."""
    return {what: one for one in alerts if one.kind != "fingerprint" and _lasts(one) for what in one.what}


def _lasts(alert: Alert) -> bool:
    return alert.state in ("new", "known")


def _run(machine: Machine, index: int) -> _Run:
    night = machine.nights[index]
    names = list(dict.fromkeys(point.environment for point in night.points))
    blocks = f"{night.used} of {night.blocks}" if night.used < night.blocks else str(night.blocks)
    blocks += f", values pruned on {changes.day(night.pruned)}" if night.pruned else ""
    return _Run(
        changes.Place(changes.minute(night.started), machine.reports[index]),
        format.clean(night.label, 100),
        format.clean(night.profile, 40),
        blocks,
        format.clean(format.listing(names, _NAMED), 300),
        compare.name(night) if compare.has_page(machine, index) else "",
    )
