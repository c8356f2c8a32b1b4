"""The newest value of every cost on every host: to search for a cost, and to compare hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import isobench
from isobench.layout import format
from isobench.site import changes, layout, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.site.changes import Place
    from isobench.site.summary import Summary

NAME = "costs.html"
_MOST = 20
"""The most hosts with a column."""


class _Row(NamedTuple):
    metric: str
    environment: str
    cells: list[Place]


def render(machines: Sequence[Summary]) -> str:
    """`machines` in any order."""
    current = summary.current(machines)
    shown = sorted(current[:_MOST], key=lambda one: (one.host_id, one.folder))  # the same column every day
    called = summary.names(shown)
    names = sorted({name for one in shown for name in one.costs}, key=lambda name: tuple(name.split("/")))
    more = f", of the {_MOST} of {len(current)} hosts with the newest runs" if len(current) > _MOST else ""
    return layout.page(
        "costs",
        root="",
        title="Every cost on every host",
        version=isobench.__version__,
        trail=[changes.Place("All hosts", "index.html")],
        sections=[("costs", "Costs")],
        caption=f"The newest run of each host{more}: ratios to its own baseline, and the baseline's values",
        hosts=[called[one.folder] for one in shown],
        rows=[_row(name, shown) for name in names],
    )


def _row(name: str, machines: Sequence[Summary]) -> _Row:
    metric, _, environment = name.partition("/")
    cells = [
        changes.Place(one.costs[name], changes.cost_address(name, one.address))
        if name in one.costs
        else changes.Place("", "")
        for one in machines
    ]
    return _Row(format.clean(metric, 160), format.clean(environment, 100), cells)
