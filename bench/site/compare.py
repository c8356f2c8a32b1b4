"""The page of two runs of one machine side by side: their levels with intervals, and no verdict.

A verdict needs what runs differ by themselves, which `isobench compare` estimates; the page names that command. The
newest runs have a page each, against the run before; with the script any two runs can be chosen, from `data`'s files.
"""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup, escape

import isobench
from isobench.layout import format
from isobench.site import changes, layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from isobench.nights.history import Night, Point
    from isobench.site.machine import Machine

NAME = "compare.html"
"""Of the newest run and the one before; here any two can be chosen."""
MOST = 14
"""Runs that have a page of their own."""


class _Side(NamedTuple):
    """One of the runs, for people."""

    began: str
    label: str


def name(night: Night) -> str:
    """Of the file of a run's page, against the run before."""
    return f"compare-{''.join(filter(str.isalnum, night.started)).lower()}.html"


def pages(machine: Machine) -> dict[str, str]:
    """The pages of the newest runs, the newest once more under the name that stays."""
    last = len(machine.nights) - 1
    chosen = range(max(1, last - MOST + 1), last + 1)
    found = {name(machine.nights[index]): render(machine, index - 1, index) for index in chosen}
    return {**found, NAME: found[name(machine.nights[last])]} if found else {}


def has_page(machine: Machine, index: int) -> bool:
    return 0 < index > len(machine.nights) - 1 - MOST


def render(machine: Machine, before: int, after: int) -> str:
    """Two of the machine's nights."""
    a, b = machine.nights[before], machine.nights[after]
    return layout.page(
        "compare",
        root="../../",
        title="Two runs side by side",
        version=isobench.__version__,
        trail=[
            changes.Place("All hosts", "../../index.html"),
            changes.Place(format.clean(machine.host_id, 100), "index.html"),
        ],
        sections=[("compare", "Compare")],
        lead=machine.hardware,
        sides=[_Side(changes.minute(one.started), format.clean(one.label, 100)) for one in (a, b)],
        stamps=(a.started, b.started),
        command=command(machine, a, b),
        facts=_differing(a, b),
        most=MOST,
        body=Markup("\n".join(_rows(machine, a, b))),  # numbers, and escaped names
    )


def command(machine: Machine, a: Night, b: Night) -> str:
    """What gives the verdict."""
    return " ".join(["isobench compare", *(run_word(machine, one) for one in (a, b))])


def run_word(machine: Machine, night: Night) -> str:
    """A run's folder, seen from where the results folder is, as a shell takes it."""
    return shlex.quote(format.clean(f"{machine.results}/{night.path}", 300))


def _differing(a: Night, b: Night) -> list[str]:
    """Facts of the host that are others in the second run; one that a run did not record is not."""
    shared = sorted(a.fingerprint.keys() & b.fingerprint.keys())
    changed = [fact for fact in shared if a.fingerprint[fact] != b.fingerprint[fact]]
    return [format.clean(f"{fact}: {a.fingerprint[fact]} → {b.fingerprint[fact]}", 300) for fact in changed]


def _rows(machine: Machine, a: Night, b: Night) -> Iterable[str]:
    """The costs that one of them has, in the order of the machine's pages; written without a template, as fast."""
    sides = [{(f"{p.scenario}.{p.metric}", p.environment): p for p in night.points} for night in (a, b)]
    for metric, courses in machine.courses.items():
        for environment in dict.fromkeys(course.environment for course in courses):
            points = [side.get((metric, environment)) for side in sides]
            if any(points):
                names = f"<tr><th scope=row class=left>{escape(format.clean(metric, 160))}"
                names += f"<td class=left>{escape(format.clean(environment, 100))}"
                yield names + "".join(f"<td>{words}" for words in _cells(*points))


def _cells(before: Point | None, after: Point | None) -> tuple[str, ...]:
    """Level before and after and their quotient: as ratios to the baseline, beside which the values are, if both have
    one; else as values."""
    known = [one for one in (before, after) if one is not None]
    if len({one.unit for one in known}) > 1:
        return _value(before), _value(after), "", "", ""
    if any(math.isnan(one.ratio) for one in known):
        quotient = _quotient(*(one.value if one else math.nan for one in (before, after)))
        return _value(before), _value(after), quotient, "", ""
    quotient = _quotient(*(one.ratio if one else math.nan for one in (before, after)))
    values = (format.quantity(one.value, one.unit) if one else "" for one in (before, after))
    return (_ratio(before), _ratio(after), quotient, *values)


def _quotient(before: float, after: float) -> str:
    """None where one of them is missing, or is zero or less."""
    return format.ratio(after / before) if before > 0 and after > 0 else ""


def _ratio(point: Point | None) -> str:
    if point is None:
        return ""
    return f"{format.ratio(point.ratio)}{_interval(point.low, point.high, 1.0)}"


def _value(point: Point | None) -> str:
    """The interval is of the value only where there is no ratio."""
    if point is None:
        return ""
    factor, _ = format.scale(point.value, point.unit)
    ends = _interval(point.low, point.high, factor) if math.isnan(point.ratio) else ""
    return f"{format.quantity(point.value, point.unit)}{ends}"


def _interval(low: float, high: float, factor: float) -> str:
    return "" if math.isnan(low) else f" [{format.number(low / factor)}, {format.number(high / factor)}]"
