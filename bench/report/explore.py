"""Every value of a run in its page, for the script that draws one cost block by block (`layout/explore.js`).

What it shows is in the report's figures and tables as well, as medians and quartiles; the values themselves are in the
run's folder. So a page is complete without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from isobench.layout import format
from isobench.report.sections._shared import tabled

if TYPE_CHECKING:
    from isobench.report.context import Context

MOST_VALUES = 60_000
"""Values that a page holds, some 0.6 MB: of more, evenly spaced blocks."""
_UNITS = ("second", "byte")


class Row(NamedTuple):
    """One cost in one environment. The numbers of `values` are in the order of the blocks; None where there is none."""

    environment: str
    title: str
    median: float
    q25: float
    q75: float
    values: list[float | None]


class Cost(NamedTuple):
    name: str
    unit: str
    rows: list[Row]


class Explorer(NamedTuple):
    """What the page holds."""

    baseline: str
    blocks: list[int]
    costs: list[Cost]

    @property
    def data(self) -> str:
        """As the script reads it."""
        return msgspec.json.encode({"baseline": self.baseline, "blocks": self.blocks, "costs": self.costs}).decode()


class _Values(NamedTuple):
    blocks: list[int]
    numbers: list[float]


def explorer(context: Context) -> Explorer | None:
    """The values behind all estimates, but for disturbed and warm-up blocks; None where there are none any more."""
    if context.session.pruned is not None:
        return None
    names = set(tabled(context, list(context.order)))
    found = [
        (row, _Values(*context.values(row.scenario, row.metric, row.environment)))
        for scenario in dict.fromkeys(row.scenario for row in context.estimates)
        for row in context.select(scenario, control=True)
        if row.environment in names and row.unit in _UNITS
    ]
    found = [(row, values) for row, values in found if values.numbers]
    blocks = sorted({block for _, values in found for block in values.blocks})
    total = sum(len(values.numbers) for _, values in found)
    kept = blocks[:: -(-total // MOST_VALUES) or 1]
    costs: dict[str, Cost] = {}
    for row, values in found:
        by_block = dict(zip(values.blocks, values.numbers, strict=True))
        drawn = [_short(by_block[block]) if block in by_block else None for block in kept]
        cost = costs.setdefault(row.name, Cost(format.clean(row.name, 120), row.unit, []))
        cost.rows.append(
            Row(
                format.clean(row.environment, 60), context.title(row.environment), _short(row.median), _short(row.q25),
                _short(row.q75), drawn,
            )
        )  # fmt: skip
    if not costs:
        return None
    return Explorer(format.clean(context.baseline, 60), kept, sorted(costs.values(), key=_first))


def _first(cost: Cost) -> int:
    """The time until an instance is ready comes first; others are in their order."""
    return cost.name != "startup.ready"


def _short(number: float) -> float:
    """With as many digits as are shown, and one more."""
    return float(f"{number:.4g}")
