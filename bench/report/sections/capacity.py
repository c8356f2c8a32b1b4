"""Capacity: how many instances under a small load there may be until the latency of one passes a bound.

The bound is a fact of the run (scenarios/capacity.py). The number is derived in each block, between the last number of
instances within the bound and the first beyond it, along the line through both on log axes.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis.verdicts import centred
from isobench.layout import format
from isobench.layout.blocks import Paragraph, table
from isobench.report.context import Section
from isobench.report.sections._shared import drawn, name_cell, over_count, scenario_details

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from isobench.layout.blocks import Block, Cell, Text
    from isobench.report.context import Context

_SCENARIO = "capacity"
_COUNTED = re.compile(r"p99-([1-9][0-9]{0,5})")


class _Found(NamedTuple):
    """The results of the blocks in one environment."""

    environment: str
    logs: Mapping[int, float]
    """Block -> logarithm of the number of instances, for blocks that reached the bound."""
    short: Sequence[int]
    """The largest numbers within the bound, of blocks that did not reach it, because the host had no room for more."""
    none: int
    """Number of blocks in which a single instance was beyond the bound."""

    def words(self, context: Context) -> str:
        """The number with its interval, or why there is none."""
        blocks = len(self.logs) + len(self.short) + self.none
        if self.none:
            return f"not even one in {self.none} of {format.count(blocks, 'block')}"
        if self.short:
            where = "" if not self.logs else f" in {len(self.short)} of {blocks} blocks"
            return f"at least {min(self.short)}{where}"
        one = centred(list(self.logs.values()), context.results.wanders)
        ends = [math.exp(min(end, 700.0)) for end in (one.centre, one.low, one.high)]
        interval = f" [{format.number(ends[1])}, {format.number(ends[2])}]" if not math.isnan(one.low) else ""
        return f"{format.number(ends[0])}{interval}"

    @property
    def is_number(self) -> bool:
        return bool(self.logs) and not self.short and not self.none


def build(context: Context) -> list[Block]:
    metrics = context.metrics_of(_SCENARIO)
    if not metrics:
        return []
    names = context.measured({row.environment for row in context.select(_SCENARIO)})
    figures = over_count(context, _SCENARIO, drawn(context, names), "instances under load")
    return [*_derived(context, names), *figures, *scenario_details(context, _SCENARIO)]


def sentence(context: Context, names: Sequence[str]) -> str:
    """How many instances of each of these environments there may be; empty if that was not measured."""
    said = [f"{found.environment} {found.words(context)}" for name in names for found in _found(context, name)]
    words = f"instances under a small load, until the 99th percentile of a request passes {_in_words(_bound(context))}"
    return f"{words}: {format.listing(said)}" if said else ""


def _bound(context: Context) -> float:
    """Seconds; NaN if the record has none."""
    told = (record.facts.get(f"{_SCENARIO}.bound", "") for record in context.session.environments)
    known = next((text for text in told if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text)), "nan")
    return float(known)


def _in_words(bound: float) -> str:
    return format.trimmed(format.quantity(bound, "second"))


def _found(context: Context, name: str) -> list[_Found]:
    """The results in one environment; empty if it was not measured, or if the bound is unknown."""
    bound, courses = _bound(context), dict[int, dict[int, float]]()
    counts = [int(match[1]) for match in map(_COUNTED.fullmatch, context.metrics_of(_SCENARIO)) if match]
    for count in counts:
        for block, late in zip(*context.values(_SCENARIO, f"p99-{count}", name), strict=True):
            courses.setdefault(block, {})[count] = late
    if math.isnan(bound) or not courses:
        return []
    logs, short, none = dict[int, float](), list[int](), 0
    for block, course in courses.items():
        within = max((count for count, late in course.items() if late <= bound), default=0)
        beyond = min((count for count, late in course.items() if late > bound and count > within), default=0)
        if not within:
            none += 1
        elif not beyond:
            short.append(within)
        else:
            part = math.log(bound / course[within]) / math.log(course[beyond] / course[within])
            logs[block] = math.log(within) + part * math.log(beyond / within)
    return [_Found(name, logs, short, none)]


def _derived(context: Context, names: Sequence[str]) -> list[Block]:
    """How many instances there may be, and the ratio of that to the baseline's number."""
    everyone = {name: one for name in names for one in _found(context, name)}
    if not everyone:
        return []
    rows: list[list[Cell | Text]] = [
        [name_cell(context, name), one.words(context), _against(context, one, everyone.get(context.baseline))]
        for name, one in everyone.items()
    ]
    bound = _in_words(_bound(context))
    caption = (
        f"Instances under load until the 99th percentile of one instance's requests passes {bound} [95 %], derived in "
        "each block between the last number within the bound and the first beyond it. More is better. “At least”: "
        "the host had no room for more, or no time."
    )
    title = context.title(context.baseline)
    note = (
        "A block ends at the first number beyond the bound. So the values at large numbers are from the "
        "blocks that came so far."
    )
    data = table(caption, ["environment", "instances", f"against {title}"], rows)
    return [data, Paragraph(note)]


def _against(context: Context, one: _Found, base: _Found | None) -> str:
    """The ratio of two numbers, paired by block; missing unless both are numbers."""
    if base is None or not (one.is_number and base.is_number):
        return format.MISSING
    if one.environment == base.environment:
        return "baseline"
    logs = [one.logs[block] - base.logs[block] for block in one.logs if block in base.logs]
    if not logs:
        return format.MISSING
    ratio = centred(logs, context.results.wanders)
    return format.ratio_interval(*(math.exp(min(value, 700.0)) for value in (ratio.centre, ratio.low, ratio.high)))


SECTION = Section(86, _SCENARIO, "Capacity: how many instances under a small load", build, "Capacity")
