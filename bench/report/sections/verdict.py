"""The verdict: caveats, which isolation for which need, and the table of costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.core.model import BAND
from isobench.layout import format
from isobench.layout.blocks import Banner, Cell, Column, Items, Paragraph, Span, Table
from isobench.report.caveats import artefact, caveats
from isobench.report.context import Section, shade_of
from isobench.report.needs import metric_for, needs_of, representatives, rows_for, spokesmen
from isobench.report.rules import alike, cheapest, is_choice, nameable, said, strongest_free
from isobench.report.sections._shared import name_cell

if TYPE_CHECKING:
    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Block, Text
    from isobench.report.context import Context
    from isobench.report.needs import Need


def build(context: Context) -> list[Block]:
    told = caveats(context)
    banner: list[Block] = [Banner(" ".join(told))] if told else []
    if not context.estimates:
        return [*banner, Paragraph(_nothing(context))]
    decisions = [text for need in needs_of(context) if (text := _decision(context, need))]
    guests = _guests(context)
    if not any(row.ratio == row.ratio for row in context.estimates):
        lead = f"There is no ratio: {context.title(context.baseline)}, the baseline, has no value in this run."
    else:
        baseline = context.title(context.baseline)
        lead = (
            f"For each need, the strongest isolation that costs at most {format.percent(BAND)} more than {baseline} "
            "(in bold), and what stronger ones cost."
        )
    return [*banner, Paragraph(lead), Items([*decisions, *guests]), _table(context)]


def _nothing(context: Context) -> str:
    measured = [block for block in context.session.blocks if block.index > 0]
    if not measured:
        return "Nothing was measured: the run has no block beyond its warm-up."
    if all(block.marks for block in measured):
        return "Nothing can be concluded: every block was disturbed and excluded."
    return "Nothing was measured: every measurement failed."


def _decision(context: Context, need: Need) -> Text:
    """One need: its cost in the baseline, the strongest isolation that is free, and what stronger ones cost."""
    rows = {row.environment: row for row in nameable(context, rows_for(context, need))}
    base = rows.pop(context.baseline, None)
    if base is None:
        return ""
    steps = [rows[name] for name in spokesmen(context, list(rows)) if rows[name].ratio == rows[name].ratio]
    head = (
        Span(f"{need.title}", "strong"),
        Span(f"({_what(context, need)}; {context.title(context.baseline)} {format.cost(base)}):"),
    )
    free = strongest_free(steps)
    if free is None:
        return (*head, Span(f"{_costs(context, steps) or 'measured in nothing else that could be chosen'}."))
    dearer = _costs(context, steps[steps.index(free) + 1 :])
    words = f"costs {alike(free)} ({format.against(free)}){f'; {dearer}' if dearer else ''}."
    return (*head, Span(context.title(free.environment), "best"), Span(words))


def _costs(context: Context, rows: list[Estimate]) -> str:
    """The environments that differ, with ratio and value; then those for which that is uncertain."""
    told = [(said(row), row) for row in rows]
    differ = [
        f"{context.title(row.environment)} {ratio} ({format.cost(row)}{comma}{doubt})"
        for words, row in told
        for ratio, comma, doubt in [words.partition(", ")]
        if "×" in ratio
    ]
    unsure = [context.title(row.environment) for words, row in told if words == "no certain difference"]
    parts = [f"no certain difference in {format.listing(unsure)}"] if unsure else []
    return "; ".join([*parts, *([format.listing(differ)] if differ else [])])


def _guests(context: Context) -> list[Text]:
    """A note that this run cannot decide the cost of a kernel of one's own, and why: such environments were chosen, but
    were unavailable or ran without hardware support."""
    guests = [record.name for record in context.session.environments if record.layer == "vm"]
    measured = {row.environment for row in context.estimates}
    if not guests or any(name in measured and is_choice(context, name) for name in guests):
        return []
    why = [f"{context.title(name)} ran on {artefact(context, name)}" for name in guests if name in measured]
    for skip in context.session.skips:
        if skip.environment in guests and not skip.scenario:
            why.append(f"{context.title(skip.environment)}: {format.clean(skip.reason, 120)}")
    return [(Span("A kernel of its own", "strong"), Span(f"is not decided by this run: {'; '.join(why[:3])}."))]


def _table(context: Context) -> Table:
    """Every isolation that can run a program (a null kernel cannot), and what each need costs in it."""
    needs = [(need, {r.environment: r for r in rows_for(context, need)}) for need in needs_of(context)]
    needs = [(need, rows) for need, rows in needs if rows]
    shown = [n for n in representatives(context) if not (e := context.environment(n)) or e.layer != "vmm"]
    columns = [Column("isolation", "left"), *(Column(f"{n.title}: {_what(context, n)}") for n, _ in needs)]
    best = {need.title: cheapest(context, [rows[n] for n in shown if n in rows]) for need, rows in needs}
    rows = []
    for name in shown:
        cells = [Cell(_name(context, name))]
        cells += [_cell(context, found.get(name), name in best[need.title]) for need, found in needs]
        rows.append(cells)
    return Table(_caption(any(best.values())), columns, rows)


def _name(context: Context, name: str) -> Text:
    """An environment's name, with the reason if its numbers describe this host."""
    words, why = name_cell(context, name), artefact(context, name)
    return (*words, Span(f"({why})", "small")) if why and isinstance(words, tuple) else words


def _caption(ticked: bool) -> str:
    text = (
        "What each isolation costs: the median of one instance and how many times the baseline it is, with its 95 % "
        "interval."
    )
    return (
        f"{text} ✓ marks the cheapest isolation of a column, and all that cannot be distinguished from it."
        if ticked
        else text
    )


def _cell(context: Context, row: Estimate | None, best: bool) -> Cell:
    if row is None:
        return Cell(Span(format.MISSING, "neutral"))
    if row.environment == context.baseline:
        return Cell((Span(format.cost(row), "strong"), Span("baseline", "small")))
    value = Span(f"✓ {format.cost(row)}" if best else format.cost(row), "best" if best else "strong")
    return Cell((value, Span(format.against(row), "small")), shade_of(row))


def _what(context: Context, need: Need) -> str:
    chosen = metric_for(context, need)
    return need.unit_of if chosen in need.candidates or chosen is None else chosen[1]


SECTION = Section(10, "verdict", "Verdict", build)
