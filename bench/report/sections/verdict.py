"""1. The verdict: three sentences and the table "which isolation for which need"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import format
from bench.report.blocks import Cell, Column, Paragraph, Span, Table
from bench.report.context import Section, shade_of
from bench.report.needs import NEEDS, metric_for, representatives, rows_for
from bench.report.rules import cheapest, said
from bench.report.sections._shared import name_cell

if TYPE_CHECKING:
    from bench.report.blocks import Block, Text
    from bench.report.context import Context, Estimate
    from bench.report.needs import Need


_SPOKEN = (("namespace", ("ns-all", "handmade")), ("engine", ("docker", "podman")), ("vm", ("kvm", "tcg")))
"""The kinds of isolation a sentence names, and who speaks for each kind where it was measured."""


def build(context: Context) -> list[Block]:
    if not context.estimates:
        return [Paragraph(_nothing(context))]
    sentences = [
        _sentence(context, "Startup", [(NEEDS[0], "needs {} to its first byte")]),
        _sentence(context, "Memory", [(NEEDS[1], "occupies {} an instance")]),
        _sentence(context, "Running", [(NEEDS[2], "takes {} for a system call"), (NEEDS[3], _reading(context))]),
    ]
    if not any(sentences):
        sentences = [f"There is no ratio: {context.title(context.baseline)}, the baseline, has no value in this run."]
    return [*(Paragraph(s) for s in sentences if s), _table(context)]


def _nothing(context: Context) -> str:
    measured = [block for block in context.session.blocks if block.index > 0]
    if not measured:
        return "Nothing was measured: the run has no block beyond its warm-up."
    if all(block.marks for block in measured):
        return "Nothing counts: every block was disturbed and is left out."
    return "Nothing was measured: every measurement failed."


def _reading(context: Context) -> str:
    chosen = metric_for(context, NEEDS[3])
    known = chosen is None or chosen in NEEDS[3].candidates
    return "{} for a 4 KiB random read" if known else f"{{}} for {'.'.join(chosen or ())}"


def _sentence(context: Context, head: str, needs: list[tuple[Need, str]]) -> Text:
    """What each need costs in the baseline, and what in one environment of each kind, as ratio and absolute value."""
    parts: list[str] = []
    for need, words in needs:
        rows = rows_for(context, need)
        base = next((row for row in rows if row.environment == context.baseline), None)
        if base is not None:
            subject = f"{context.title(base.environment)} " if not parts else ""
            parts.append(subject + words.format(base.value_text) + _others(context, rows))
    return (Span(f"{head}:", "strong"), Span("; ".join(parts) + ".")) if parts else ""


def _others(context: Context, rows: list[Estimate]) -> str:
    """Who differs, with ratio and value; then who does not."""
    told = [(said(row), row) for row in _spoken(context, rows)]
    differ = [
        f"{context.title(row.environment)} {ratio} ({row.value_text}{comma}{doubt})"
        for words, row in told
        for ratio, comma, doubt in [words.partition(", ")]
        if "×" in ratio
    ]
    parts = [format.listing(differ)] if differ else []
    for kind in ("the same", "no certain difference"):
        alike = [context.title(row.environment) for words, row in told if words == kind]
        parts += [f"{kind} in {format.listing(alike)}"] if alike else []
    return "".join(f", {part}" for part in parts)


def _spoken(context: Context, rows: list[Estimate]) -> list[Estimate]:
    found = {row.environment: row for row in rows if row.environment != context.baseline and row.ratio == row.ratio}
    chosen = []
    for layer, preferred in _SPOKEN:
        inside = [name for name in found if (record := context.environment(name)) and record.layer == layer]
        names = [name for name in preferred if name in inside] or inside
        chosen += [found[name] for name in names[:1]]
    return chosen or list(found.values())[:3]


def _table(context: Context) -> Table:
    """Every isolation that can run a program (a null kernel cannot), and what each need costs in it."""
    needs = [(need, {r.environment: r for r in rows_for(context, need)}) for need in NEEDS]
    needs = [(need, rows) for need, rows in needs if rows]
    shown = [n for n in representatives(context) if not (e := context.environment(n)) or e.layer != "vmm"]
    columns = [Column("isolation", "left"), *(Column(f"{n.title}: {_what(context, n)}") for n, _ in needs)]
    best = {need.title: cheapest(context, [rows[n] for n in shown if n in rows]) for need, rows in needs}
    rows = []
    for name in shown:
        cells = [Cell(name_cell(context, name))]
        cells += [_cell(context, found.get(name), name in best[need.title]) for need, found in needs]
        rows.append(cells)
    return Table(_caption(any(best.values())), columns, rows)


def _caption(ticked: bool) -> str:
    text = (
        "Which isolation for which need: the median cost of one instance and how many times the baseline it is, "
        "with its 95 % interval."
    )
    return f"{text} ✓ is the cheapest isolation of a column, or not told apart from it." if ticked else text


def _cell(context: Context, row: Estimate | None, best: bool) -> Cell:
    if row is None:
        return Cell(Span(format.MISSING, "neutral"))
    if row.environment == context.baseline:
        return Cell((Span(row.value_text, "strong"), Span("baseline", "small")))
    value = Span(f"✓ {row.value_text}" if best else row.value_text, "best" if best else "strong")
    return Cell((value, Span(row.ratio_text, "small")), shade_of(row))


def _what(context: Context, need: Need) -> str:
    chosen = metric_for(context, need)
    return need.unit_of if chosen in need.candidates or chosen is None else chosen[1]


SECTION = Section(10, "verdict", "Verdict", build)
