"""10. Two runs side by side, each cost as a ratio to its own run's baseline, so that a faster host does not count.

A cost has changed where the two 95 % intervals do not meet: stricter than a test, and needs no pairs across runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import charts, format
from bench.report.blocks import Banner, Block, Details, Figure, Paragraph, Span, table
from bench.report.context import BAND, Section
from bench.report.sections._shared import alt_of

if TYPE_CHECKING:
    from bench.report.blocks import Cell, Text
    from bench.report.context import Context, Estimate

_DRAWN = 30
"""Changes that the figure shows, the largest first."""


def build(context: Context) -> list[Block]:
    other = context.other
    if other is None:
        return []
    pairs = [(row, before) for row in context.estimates if (before := _same(other, row)) is not None]
    changed = sorted((p for p in pairs if not _meet(*p)), key=lambda p: abs(_change(*p) - 1), reverse=True)
    text = (
        f"Against the run of {format.clean(other.session.started, 40)} on {format.clean(other.session.host_id, 60)}: "
        f"{len(changed)} of {format.count(len(pairs), 'cost')} changed, each a ratio to its own run's baseline."
    )
    blocks: list[Block] = [*_warnings(context, other), Paragraph(text)]
    if changed:
        blocks.append(_figure(context, changed))
    same = [pair for pair in pairs if _meet(*pair)]
    if same:
        blocks.append(Details("Costs that did not change measurably", [table(_CAPTION, _COLUMNS, _rows(same))]))
    return blocks


_CAPTION = "Ratio to the own baseline, before and now [95 %]"
_COLUMNS = ["cost / environment", "before", "now", "now against before", "before, absolute", "now, absolute"]


def _warnings(context: Context, other: Context) -> list[Block]:
    blocks: list[Block] = []
    if other.session.host_id != context.session.host_id:
        blocks.append(Banner("The two runs were made on different hosts: only ratios are compared."))
    mine, theirs = context.session.fingerprint, other.session.fingerprint
    differing = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if differing:
        said = {key: (format.clean(f.get(key, "none"), 60) for f in (theirs, mine)) for key in differing}
        entries = [f"{format.clean(key, 40)}: {' → '.join(values)}" for key, values in said.items()]
        blocks.append(Banner(f"What differs between the two: {format.listing(entries, 8)}."))
    if other.baseline != context.baseline:
        blocks.append(Banner("The two runs have different baselines: their ratios do not mean the same."))
    return blocks


def _figure(context: Context, changed: list[tuple[Estimate, Estimate]]) -> Figure:
    drawn = []
    for row, before in changed[:_DRAWN]:
        group = f"{format.clean(row.environment, 40)} {row.name}"
        drawn.append(charts.Interval("before", group, before.ratio, before.ratio_low, before.ratio_high, 3))
        drawn.append(charts.Interval("now", group, row.ratio, row.ratio_low, row.ratio_high, 0))
    row, before = changed[0]
    title = (
        f"The largest change is {row.name} of {format.clean(row.environment, 40)}: "
        f"{format.ratio(_change(row, before))} what it was"
    )
    data = table(_CAPTION, _COLUMNS, _rows(changed))
    left_out = f" The {_DRAWN} largest of {len(changed)} changes are drawn." if len(changed) > _DRAWN else ""
    note = (
        f"Point: ratio to the own baseline; line: 95 % interval. n = {before.n} blocks before, {row.n} now.{left_out}"
    )
    return Figure(title, charts.dots(drawn, "times its own baseline", BAND), alt_of(title, data), note, data)


def _rows(pairs: list[tuple[Estimate, Estimate]]) -> list[list[Cell | Text]]:
    return [
        [
            (Span(row.name, "strong"), Span(format.clean(row.environment, 60), "small")),
            before.ratio_text,
            row.ratio_text,
            format.ratio(_change(row, before)),
            before.value_text,
            row.value_text,
        ]
        for row, before in pairs
    ]


def _same(other: Context, row: Estimate) -> Estimate | None:
    """The same cost in the other run, where both have a ratio that means something."""
    found = other.find(row.scenario, row.metric, row.environment)
    if found is None or row.control or row.ratio != row.ratio or found.ratio != found.ratio:
        return None
    return None if row.environment == other.baseline else found


def _meet(row: Estimate, before: Estimate) -> bool:
    return row.ratio_low <= before.ratio_high and before.ratio_low <= row.ratio_high


def _change(row: Estimate, before: Estimate) -> float:
    return row.ratio / before.ratio


SECTION = Section(100, "comparison", "Comparison with another run", build)
