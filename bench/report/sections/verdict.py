"""1. The verdict: three sentences and the table "which isolation for which need"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import format
from bench.report.blocks import Cell, Column, Paragraph, Span, Table
from bench.report.context import Section, shade
from bench.report.needs import NEEDS, metric_for, representatives, rows_for
from bench.report.sections._shared import name_cell, spread

if TYPE_CHECKING:
    from bench.report.blocks import Block, Text
    from bench.report.context import Context, Estimate
    from bench.report.needs import Need


_SPOKEN = (("namespace", ("ns-all", "handmade")), ("engine", ("docker", "podman")), ("vm", ("kvm", "tcg")))
"""The kinds of isolation a sentence names, and who speaks for each kind where it was measured."""


def build(context: Context) -> list[Block]:
    if not context.estimates:
        return [Paragraph("Nothing was measured: the run has no block beyond its warm-up.")]
    sentences = [s for s in (_absolute(context, NEEDS[0]), _absolute(context, NEEDS[1]), _running(context)) if s]
    return [*(Paragraph(s) for s in sentences), _table(context)]


def _absolute(context: Context, need: Need) -> Text:
    """What a need costs in the baseline and in one environment of each kind, absolute and as a ratio."""
    rows = rows_for(context, need)
    base = next((row for row in rows if row.environment == context.baseline), None)
    parts = [
        f"{row.value_text} ({', '.join(_times(row))}) in {context.title(row.environment)}"
        for row in _spoken(context, rows)
    ]
    if base is None or not parts:
        return ""
    what = {"Startup": "takes", "Memory": "occupies"}[need.title]
    subject = "one instance" if need.title == "Memory" else "the first byte"
    text = f"{subject} {what} {base.value_text} as {context.title(base.environment)}, {format.listing(parts)}."
    return (Span(f"{need.title}:", "strong"), Span(text))


def _running(context: Context) -> Text:
    """What the program notices once it runs: a system call and a read, as ratios."""
    parts = []
    for need, what in ((NEEDS[2], "a trivial system call"), (NEEDS[3], "a 4 KiB random read")):
        chosen = metric_for(context, need)
        if chosen is not None and chosen not in need.candidates:
            what = f"I/O ({'.'.join(chosen)})"
        costs = [
            f"{_said(row)} in {context.title(row.environment)}" for row in _spoken(context, rows_for(context, need))
        ]
        if costs:
            parts.append(f"{what} costs {format.listing(costs)}")
    return (Span("Running:", "strong"), Span(f"{'; '.join(parts)}, each against the baseline.")) if parts else ""


def _spoken(context: Context, rows: list[Estimate]) -> list[Estimate]:
    found = {row.environment: row for row in rows if row.environment != context.baseline and row.ratio == row.ratio}
    chosen = []
    for layer, preferred in _SPOKEN:
        inside = [name for name in found if (record := context.environment(name)) and record.layer == layer]
        names = [name for name in preferred if name in inside] or inside
        chosen += [found[name] for name in names[:1]]
    return chosen or list(found.values())[:3]


def _times(row: Estimate) -> list[str]:
    """The ratio in words, and that it is inconclusive where it is."""
    if row.verdict == "equivalent":
        return ["the same"]
    return [format.ratio(row.ratio), *(["inconclusive"] if row.verdict == "inconclusive" else [])]


def _said(row: Estimate) -> str:
    first, *more = _times(row)
    return f"{first} ({more[0]})" if more else first


def _table(context: Context) -> Table:
    needs = [(need, {r.environment: r for r in rows_for(context, need)}) for need in NEEDS]
    needs = [(need, rows) for need, rows in needs if rows]
    shown = representatives(context)
    columns = [Column("isolation", "left"), *(Column(f"{n.title}: {_what(context, n)}") for n, _ in needs)]
    best = {need.title: _cheapest(context, list(rows.values())) for need, rows in needs}
    rows = []
    for name in shown:
        cells = [Cell(name_cell(context, name))]
        cells += [_cell(context, found.get(name), best[need.title] == name) for need, found in needs]
        rows.append(cells)
    caption = (
        "Which isolation for which need: the median cost of one instance and how many times the baseline it is, "
        "with its 95 % interval. ✓ is the cheapest isolation of a column; the deeper the colour, the dearer."
    )
    return Table(caption, columns, rows)


def _cell(context: Context, row: Estimate | None, best: bool) -> Cell:
    if row is None:
        return Cell(Span(format.MISSING, "neutral"))
    if row.environment == context.baseline:
        return Cell((Span(row.value_text, "strong"), Span("baseline", "small")))
    value = Span(f"✓ {row.value_text}" if best else row.value_text, "best" if best else "strong")
    return Cell((value, Span(row.ratio_text, "small")), shade(row.ratio))


def _cheapest(context: Context, rows: list[Estimate]) -> str:
    shown = set(representatives(context))
    running = [r for r in rows if (e := context.environment(r.environment)) and e.layer != "vmm" and e.name in shown]
    ends = spread(running, context.baseline)
    return ends[0].environment if ends and ends[0].environment != ends[1].environment else ""


def _what(context: Context, need: Need) -> str:
    chosen = metric_for(context, need)
    return need.unit_of if chosen in need.candidates or chosen is None else chosen[1]


SECTION = Section(10, "verdict", "Verdict", build)
