"""The page of two runs of one machine side by side: their levels with intervals, and no verdict.

A verdict needs the variation between runs, which `isobench compare` estimates; the page shows that command. The newest
runs have a page each, compared with the previous run; with the script any two runs can be chosen, from the files of
`data`.
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
"""The page of the newest run and the previous one; here any two can be chosen."""
MOST = 14
"""Runs that have a page of their own."""


class _Side(NamedTuple):
    """One of the runs, for people."""

    began: str
    label: str


def name(night: Night) -> str:
    """The file name of a run's page."""
    return f"compare-{''.join(filter(str.isalnum, night.started)).lower()}.html"


def pages(machine: Machine) -> dict[str, str]:
    """The pages of the newest runs, and that of the newest again under the permanent name."""
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
    """The command that gives the verdict."""
    return " ".join(["isobench compare", *(run_word(machine, one) for one in (a, b))])


def run_word(machine: Machine, night: Night) -> str:
    """A run's folder relative to the parent of the results folder, quoted for a shell."""
    return shlex.quote(format.clean(f"{machine.results}/{night.path}", 300))


def _differing(a: Night, b: Night) -> list[str]:
    """Facts of the host that differ in the second run, without those that one run did not record."""
    shared = sorted(a.fingerprint.keys() & b.fingerprint.keys())
    changed = [fact for fact in shared if a.fingerprint[fact] != b.fingerprint[fact]]
    return [format.clean(f"{fact}: {a.fingerprint[fact]} → {b.fingerprint[fact]}", 300) for fact in changed]


def _rows(machine: Machine, a: Night, b: Night) -> Iterable[str]:
    """The costs that either run has, in the order of the machine's pages; written without a template, for speed."""
    sides = [{(f"{p.scenario}.{p.metric}", p.environment): p for p in night.points} for night in (a, b)]
    for metric, courses in machine.courses.items():
        for environment in dict.fromkeys(course.environment for course in courses):
            points = [side.get((metric, environment)) for side in sides]
            if any(points):
                names = f"<tr><th scope=row class=left>{escape(format.clean(metric, 160))}"
                names += f"<td class=left>{escape(format.clean(environment, 100))}"
                yield names + "".join(f"<td>{words}" for words in _cells(*points))


def _cells(before: Point | None, after: Point | None) -> tuple[str, ...]:
    """Levels before and after and their quotient: ratios to the baseline with the values beside them if both have
    ratios, else values."""
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
    """Empty if one of them is missing, or is zero or less."""
    return format.ratio(after / before) if before > 0 and after > 0 else ""


def _ratio(point: Point | None) -> str:
    if point is None:
        return ""
    return f"{format.ratio(point.ratio)}{_interval(point.low, point.high, 1.0)}"


def _value(point: Point | None) -> str:
    """With an interval only if there is no ratio."""
    if point is None:
        return ""
    factor, _ = format.scale(point.value, point.unit)
    ends = _interval(point.low, point.high, factor) if math.isnan(point.ratio) else ""
    return f"{format.quantity(point.value, point.unit)}{ends}"


def _interval(low: float, high: float, factor: float) -> str:
    return "" if math.isnan(low) else f" [{format.number(low / factor)}, {format.number(high / factor)}]"
