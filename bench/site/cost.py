"""The page of one metric on one machine: every environment's history as a figure, and the same numbers as a table."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from markupsafe import Markup, escape

import isobench
from isobench.layout import format
from isobench.nights.trend import FEWEST
from isobench.site import changes, layout
from isobench.site.chart import Mark, draw
from isobench.site.names import slug

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.site.changes import Row
    from isobench.site.machine import Course, Machine

_BESIDE = 2
"""Columns of the table before those of environments."""
_KEY = (
    "A dot is a run: the median over its blocks, as a ratio to that run's own baseline. A line is the level between "
    "confirmed changes; a dashed one is such a change, numbered as below; a dotted one a change of the host's "
    "software. A faint bar is the 95 % interval of that median from the run's blocks alone; the dark one at the "
    "newest run is that of its report, corrected for all costs. Bars are cut off at the frame. Log axis, but of "
    "values that were zero; one step to the right is one run."
)
_LASTS = (30, 100, 365)
"""How many of the last runs the figures can be limited to."""


def name(metric: str) -> str:
    """The name of the page's file."""
    return f"{slug(metric)}.html"


def render(machine: Machine, metric: str, all_rows: Sequence[Row]) -> str:
    courses = machine.courses[metric]
    rows = changes.concerning(metric, all_rows, machine.alerts)
    units = [_unit(course) for course in courses]
    figures = [
        {
            "place": course.place,
            "column": column,
            "unit": unit.after,
            "environment": _words(course),
            "title": _title(machine, course),
            "drawing": Markup(_drawing(machine, course, unit, rows)),  # its words are escaped there
        }
        for column, (course, unit) in enumerate(zip(courses, units, strict=True), _BESIDE)
    ]
    meaning = machine.meanings.get(metric, "")
    return layout.page(
        "cost",
        root="../../",
        title=format.clean(metric, 200),
        version=isobench.__version__,
        trail=[
            changes.Place("All hosts", "../../index.html"),
            changes.Place(format.clean(machine.host_id, 100), "index.html"),
        ],
        sections=[("history", "History"), ("changes", "Changes"), ("nights", "Numbers")],
        lead=". ".join(filter(None, (format.clean(meaning, 500), machine.hardware))),
        key=_KEY,
        lasts=[last for last in _LASTS if last < len(machine.nights)],
        left_out=len(machine.left_out),
        figures=figures,
        changes=rows[::-1],
        nights_caption=f"{format.clean(metric, 200)} by run, the newest first: the median and its 95 % interval from "
        "that run's blocks alone",
        heads=[{"environment": _words(c), "unit": u.head} for c, u in zip(courses, units, strict=True)],
        body=Markup(_body(machine, courses, units, rows)),  # numbers, and escaped dates
    )


class _Unit(NamedTuple):
    """The unit of a column's numbers."""

    factor: float
    head: str
    after: str


def _unit(course: Course) -> _Unit:
    if not course.unit:
        return _Unit(1.0, f"× {format.clean(course.against, 60)}", "×")
    factor, word = format.scale(median(course.numbers), course.unit)
    return _Unit(factor, word, f" {word}")


def _words(course: Course) -> str:
    return format.clean(course.environment, 100)


def _title(machine: Machine, course: Course) -> str:
    """The title of the figure: the current level, and the last confirmed change."""
    level = course.levels[-1].number
    now = format.quantity(level, course.unit) if course.unit else format.ratio(level)
    now += f" {format.clean(course.against, 60)}" if course.against else ""
    since = ""
    if len(course.levels) > 1:
        before = course.levels[-2].number
        size = f" ({changes.size(level / before)})" if min(level, before) > 0 else ""
        since = f" since {changes.day(machine.nights[course.levels[-1].first].started)}{size}"
    ended = len(machine.nights) - 1 - course.nights[-1]
    gone = f"; not in the newest {'run' if ended == 1 else f'{ended} runs'}" if ended else ""
    few = (
        f" ({format.count(len(course.nights), 'run')}: too few to confirm a change)"
        if len(course.nights) < FEWEST
        else ""
    )
    return f"{now}{since}{few}{gone}"


def _drawing(machine: Machine, course: Course, unit: _Unit, rows: Sequence[Row]) -> str:
    marks = [
        Mark(machine.night_of(alert), row.number, _change(row), alert.kind == "fingerprint")
        for row in rows
        if (alert := machine.alerts[row.number - 1]).state != "withdrawn"
        and (alert.kind == "fingerprint" or course.name in alert.what)
    ]
    newest = machine.newest[course.metric, course.environment]
    estimate, interval = newest.estimate, None
    if estimate is not None and course.against and estimate.ratio_high == estimate.ratio_high:
        interval = (estimate.ratio_low, estimate.ratio_high)
    words = f"{_words(course)}: {_title(machine, course)}. {format.count(len(course.nights), 'run')}; "
    words += format.count(sum(not mark.software for mark in marks), "confirmed change")
    return draw(course, machine.starts, marks, interval, words, unit.factor)


def _change(row: Row) -> str:
    """What changed, in the figure of a cost: its size and likely cause, or the software."""
    size = row.change or ", ".join(place.words for place in row.what)
    return f"{size}, likely because of {row.cause}" if row.cause else size


def _body(machine: Machine, courses: Sequence[Course], units: Sequence[_Unit], rows: Sequence[Row]) -> str:
    """The rows of the table, written without a template: a page may have ten thousand cells."""
    here: dict[int, list[str]] = {}
    for row in rows:
        here.setdefault(machine.night_of(machine.alerts[row.number - 1]), []).append(str(row.number))
    columns = []
    for course, unit in zip(courses, units, strict=True):
        cells = ["<td>"] * len(machine.nights)
        numbers = ((np.array(one) / unit.factor).tolist() for one in (course.numbers, course.lows, course.highs))
        for night, number, low, high in zip(course.nights, *numbers, strict=True):
            ends = "" if math.isnan(low) else f" [{_short(low)}, {_short(high)}]"
            cells[night] = f"<td>{_short(number)}{ends}"
        columns.append(cells)
    heads = [
        f"<tr><th scope=row class=left>{escape(changes.minute(night.started))}<td>{', '.join(here.get(index, ()))}"
        for index, night in enumerate(machine.nights)
    ]
    return "\n".join("".join(row) for row in zip(reversed(heads), *map(reversed, columns), strict=True))


def _short(number: float) -> str:
    """Four significant digits, fast; very small and large numbers as elsewhere."""
    if 1e-3 <= number < 999.5:
        return f"{number:#.4g}"
    return f"{number:.0f}" if 999.5 <= number < 1e15 else format.number(number)
