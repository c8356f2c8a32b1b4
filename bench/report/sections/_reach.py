"""The cost of a start over what is within reach: one point per environment, for the overview."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format
from isobench.layout.blocks import Block, Figure, table
from isobench.report import charts, rules
from isobench.report.needs import representatives
from isobench.report.sections._shared import alt_of, name_cell, sample_note, style_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.layout.blocks import Cell, Text
    from isobench.report.context import Context
    from isobench.results.record import EnvironmentRecord

_OWN_KERNEL = " (own kernel)"


class Reach(NamedTuple):
    """The number of system calls of one kind in an environment."""

    record: EnvironmentRecord
    calls: int

    @property
    def is_the_hosts(self) -> bool:
        return self.record.facts.get("surface.kernel") == "the host's"

    @property
    def kernel(self) -> str:
        return "the host's" if self.is_the_hosts else "its own"


def reaches(context: Context, fact: str = "calls") -> list[Reach]:
    """The number of every environment for which it is known."""
    told = [(record, record.facts.get(f"surface.{fact}", "")) for record in context.session.environments]
    return [Reach(record, int(count)) for record, count in told if re.fullmatch("[0-9]{1,6}", count)]


class _Drawn(NamedTuple):
    """A figure of the cost of a start over a number of system calls: the fact on its x axis, and its words."""

    fact: str
    axis: str
    of_own_kernels: str
    """What is counted in an environment with a kernel of its own."""
    title: str
    """If the counts differ: the fewest, with the environments, and the most."""
    same: str
    """If all counts are equal."""


_LET_THROUGH = _Drawn(
    "calls",
    "system calls let through",
    "the calls are those of that kernel; the host's system calls that it makes are not counted",
    "The fewest system calls of the host's kernel are within reach in {}: {}; the most are {}",
    "Wherever the host's kernel is shared, {} of its system calls are within reach",
)
_MADE = _Drawn(
    "host_calls",
    "different system calls of the host's kernel for the same work",
    "they are those that this kernel or its VMM makes",
    "The same work takes the fewest different system calls of the host's kernel in {}: {}; the most are {}",
    "The same work takes {} different system calls of the host's kernel in every environment",
)


def figures(context: Context) -> list[Block]:
    """One for what is let through, one for what the host executes; those that are known."""
    return [block for what in (_LET_THROUGH, _MADE) for block in _cost_over_reach(context, what)]


def _cost_over_reach(context: Context, what: _Drawn) -> list[Block]:
    """The cost of a start over a number of system calls."""
    shown = set(representatives(context))
    found = [
        (reach, row)
        for reach in reaches(context, what.fact)
        if reach.record.name in shown and (row := context.find(*_COST, reach.record.name)) is not None
    ]
    if len(found) < 2:
        return []
    series = [
        charts.Series(
            f"{reach.record.name}{'' if reach.is_the_hosts else _OWN_KERNEL}",
            [float(reach.calls)],
            [row.median],
            style_of(context, reach.record.name),
            [row.q25],
            [row.q75],
        )
        for reach, row in found
    ]
    cells: list[list[Cell | Text]] = [
        [name_cell(context, reach.record.name), reach.kernel, str(reach.calls), format.cost(row)]
        for reach, row in found
    ]
    title = _title([reach for reach, _ in found if rules.is_choice(context, reach.record.name)], what)
    data = table(f"Startup over the {what.axis}", ["environment", "kernel", what.axis, "startup"], cells)
    note = (
        "Median and quartiles of the time from request to first byte. In an environment with a kernel of its own "
        f"(a guest, gVisor), {what.of_own_kernels}. {sample_note(context, _COST[0], [_COST[1]])}"
    )
    picture = charts.points(series, what.axis, "second", lines=True)
    return [Figure(title, picture, alt_of(title, data), note, data)]


_COST = ("startup", "ready")


def _title(drawn: Sequence[Reach], what: _Drawn) -> str:
    """The fewest and the most of those that may be named; counts do not vary. Of the calls let through, only those of
    environments that share the host's kernel count, since another kernel's calls are not the host's."""
    counted = [reach for reach in drawn if reach.is_the_hosts or what is _MADE]
    if not counted:
        return f"What a start costs, over {what.axis}"
    least, most = (end(reach.calls for reach in counted) for end in (min, max))
    names = [format.clean(reach.record.name, 40) for reach in counted if reach.calls == least]
    return what.same.format(least) if least == most else what.title.format(format.listing(names, 3), least, most)
