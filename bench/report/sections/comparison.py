"""Two runs side by side: each environment by its ratio to its own run's baseline, and the host by the baseline.

The verdicts, their order and their sentences are those of `isobench compare`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.analysis.compare import Change, compare, facts, one_machine
from isobench.analysis.earlier import earlier
from isobench.core.errors import UsageError
from isobench.core.model import BAND
from isobench.layout import format
from isobench.layout.blocks import Banner, Block, Details, Figure, Items, Paragraph, Span, table
from isobench.report import charts, compared, rules
from isobench.report.context import Section
from isobench.report.sections._shared import alt_of

if TYPE_CHECKING:
    from isobench.analysis.results import Results
    from isobench.layout.blocks import Cell, Text
    from isobench.report.context import Context

_DRAWN = 30
"""Changes that the figure shows, the largest first."""


def build(context: Context) -> list[Block]:
    other = context.other
    if other is None:
        return []
    warnings = _warnings(context, other)
    if other.baseline != context.baseline:
        return warnings
    try:
        found = compare(other, context.results, band=BAND, across_hosts=not one_machine(other.run, context.run),
                        earlier=earlier([other.run, context.run]))  # fmt: skip
    except UsageError as error:
        return [*warnings, Paragraph(f"Nothing is compared: {format.clean(error.reason, 300)}.")]
    changed = found.changed()
    against = (
        f"Against the run of {format.clean(other.session.started, 40)} on {format.clean(other.session.host_id, 60)}"
    )
    told: list[Text] = [format.clean(line, 600) for line in compared.sentences(found)]
    blocks: list[Block] = [*warnings, Paragraph(f"{against}:"), Items(told)]
    if changed:
        blocks.append(_figure(context, changed))
    hosts = found.changed("host")
    if hosts:
        blocks.append(table("The host: the baseline's own costs that moved", _COLUMNS, _rows(hosts)))
    same = [change for change in found.changes if not change.changed]
    if same:
        blocks.append(Details("Costs that did not change measurably", [table(_CAPTION, _COLUMNS, _rows(same))]))
    return blocks


_CAPTION = "Medians before and now, and what changed [95 %]"
_COLUMNS = ["cost / environment", "before", "now", "now against before [95 %]", "verdict"]


def _warnings(context: Context, other: Results) -> list[Block]:
    blocks: list[Block] = []
    if not one_machine(other.run, context.run):
        blocks.append(Banner("The two runs were made on different hosts: only ratios are compared."))
    mine, theirs = facts(context.session), facts(other.session)
    differing = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if differing:
        entries = [
            f"{format.clean(key, 40)}: "
            + " → ".join(format.clean(known.get(key, "not recorded"), 60) for known in (theirs, mine))
            for key in differing
        ]
        blocks.append(Banner(f"What differs between the two: {format.listing(entries, 8)}."))
    if other.baseline != context.baseline:
        blocks.append(Banner("The two runs have different baselines: their ratios do not mean the same."))
    return blocks


def _figure(context: Context, changed: list[Change]) -> Figure:
    drawn = [
        charts.Interval(format.clean(c.environment, 40), f"{c.scenario}.{c.metric}", *c.interval, 0)
        for c in changed[:_DRAWN]
    ]
    first = next((c for c in changed if rules.is_choice(context, c.environment)), None)
    title = f"{format.count(len(changed), 'change')}, all in {rules.ASIDE}"
    if first is not None:
        title = (
            f"The largest change is {first.scenario}.{first.metric} of {format.clean(first.environment, 40)}: "
            f"{format.ratio(first.interval[0])} what it was, against its baseline"
        )
    data = table(_CAPTION, _COLUMNS, _rows(changed))
    left_out = f" The {_DRAWN} largest of {len(changed)} changes are drawn." if len(changed) > _DRAWN else ""
    blocks = f"Before {format.of_blocks(c.n_a for c in changed)} Now {format.of_blocks(c.n_b for c in changed)}"
    note = f"Point: now to before; line: 95 % interval. {blocks}{left_out}"
    return Figure(
        title, charts.dots(drawn, "times what it was, against the baseline", BAND), alt_of(title, data), note, data
    )


def _rows(changes: list[Change]) -> list[list[Cell | Text]]:
    return [
        [
            (Span(f"{c.scenario}.{c.metric}", "strong"), Span(format.clean(c.environment, 60), "small")),
            format.quantity(c.a, c.unit),
            format.quantity(c.b, c.unit),
            format.ratio_interval(*c.interval),
            c.verdict,
        ]
        for c in changes
    ]


SECTION = Section(100, "comparison", "Comparison with another run", build, "Comparison")
