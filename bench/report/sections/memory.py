"""6. Memory: the counts side by side for one instance, and what one more instance takes when there are many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.report import charts, format
from bench.report.blocks import Cell, Figure, Span, table
from bench.report.context import Section, shade
from bench.report.needs import representatives
from bench.report.sections._shared import (
    alt_of,
    dot_panels,
    finding,
    name_cell,
    sample_note,
    scenario_details,
    style_of,
)

if TYPE_CHECKING:
    from bench.report.blocks import Block, Text
    from bench.report.context import Context

_COUNTS = ("pss", "uss", "rss", "cgroup")
_MEANINGS = {
    "pss": "PSS shares every page among those who map it",
    "uss": "USS takes only what nobody else maps",
    "rss": "RSS takes every mapped page in full",
    "cgroup": "the cgroup charges each page to whoever touched it first, the kernel's own pages included",
}
_AT = re.compile(r"^(?P<count>.+)-(?P<n>\d+)$")
"""A density metric: what was counted, and with how many instances ("pss-16")."""


def build(context: Context) -> list[Block]:
    return [*_single(context), *_density(context)]


def _single(context: Context) -> list[Block]:
    metrics = context.metrics_of("memory")
    if not metrics:
        return []
    counts = [m for m in _COUNTS if m in metrics]
    title = finding(context, context.select("memory", counts[0] if counts else metrics[0]), "Memory of one instance")
    figure = dot_panels(context, "memory", counts or metrics[:4], title, names=representatives(context))
    blocks: list[Block] = [_side_by_side(context, counts or metrics[:4])]
    if figure:
        blocks.append(figure)
    return [*blocks, *scenario_details(context, "memory")]


def _side_by_side(context: Context, counts: list[str]) -> Block:
    rows: list[list[Cell | Text]] = []
    for name in context.measured({r.environment for r in context.select("memory")}):
        cells: list[Cell | Text] = [name_cell(context, name)]
        for count in counts:
            row = context.find("memory", count, name)
            if row is None:
                cells.append(format.MISSING)
                continue
            against = "baseline" if name == context.baseline else row.ratio_text if row.ratio == row.ratio else ""
            cells.append(Cell((Span(row.value_text, "strong"), Span(against, "small")), shade(row.ratio)))
        rows.append(cells)
    meanings = "; ".join(_MEANINGS[c] for c in counts if c in _MEANINGS)
    return table(f"The same instance counted in {len(counts)} ways: {meanings}.", ["environment", *counts], rows)


def _density(context: Context) -> list[Block]:
    """Lines over the number of instances where the run has them, else every density metric in its own panel."""
    metrics = context.metrics_of("density")
    if not metrics:
        return []
    slopes = [m for m in metrics if "slope" in m or "per-instance" in m]
    lines = _lines(context, [m for m in metrics if _AT.match(m)])
    blocks: list[Block] = [*lines]
    title = finding(context, context.select("density", (slopes or metrics)[0]), "Memory of one more instance")
    panels = dot_panels(context, "density", slopes or [m for m in metrics if not _AT.match(m)], title)
    if panels:
        blocks.append(panels)
    return [*blocks, *scenario_details(context, "density", slopes or metrics)]


def _lines(context: Context, metrics: list[str]) -> list[Block]:
    """One figure a count: memory over N with the least-squares slope of each environment."""
    counts = sorted({m["count"] for m in map(_AT.match, metrics) if m})
    figures: list[Block] = []
    for count in counts:
        series, rows = [], []
        sizes = sorted({int(m["n"]) for m in map(_AT.match, metrics) if m and m["count"] == count})
        slopes: list[tuple[float, str]] = []
        for name in context.measured({r.environment for r in context.select("density")}):
            found = [(n, context.find("density", f"{count}-{n}", name)) for n in sizes]
            points = [(n, row) for n, row in found if row is not None]
            if not points:
                continue
            xs, ys = [float(n) for n, _ in points], [row.median for _, row in points]
            fit = line_fit(xs, ys)
            lows, highs = [row.q25 for _, row in points], [row.q75 for _, row in points]
            series.append(charts.Series(name, xs, ys, style_of(context, name), lows, highs, fit))
            slope = format.signed(fit[0], "byte") if fit else format.MISSING
            rows.append(
                [name_cell(context, name), slope, *(row.value_text if row else format.MISSING for _, row in found)]
            )
            if fit:
                slopes.append((fit[0], name))
        if not series:
            continue
        title = f"{count}: no slope, only one number of instances was measured"
        if slopes:
            (low, cheap), (high, dear) = min(slopes), max(slopes)
            title = (
                f"{count}: one more instance takes {format.quantity(low, 'byte')} in {format.clean(cheap, 40)} "
                f"and {format.quantity(high, 'byte')} in {format.clean(dear, 40)}"
            )
        heads = ["environment", "slope (per instance)", *(f"N = {n}" for n in sizes)]
        data = table(f"{count} over the number of idle instances", heads, rows)
        note = f"Median and quartiles; line: least squares. {sample_note(context, 'density', [f'{count}-{sizes[0]}'])}"
        picture = charts.points(series, "idle instances", "byte", log=False, lines=True)
        figures.append(Figure(title, picture, alt_of(title, data), note, data))
    return figures


def line_fit(xs: list[float], ys: list[float]) -> tuple[float, float] | None:
    """Slope and intercept by least squares; None for fewer than two different x."""
    n, mean_x, mean_y = len(xs), sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    if n < 2 or spread == 0:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    return slope, mean_y - slope * mean_x


SECTION = Section(60, "memory", "Memory", build)
