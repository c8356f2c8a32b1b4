"""8. I/O: storage, metadata and network as small multiples, with percentiles, and copy-up against file size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.report import charts, format
from bench.report.blocks import Block, Figure, Heading, table
from bench.report.context import Section
from bench.report.needs import representatives
from bench.report.sections._shared import alt_of, dot_panels, name_cell, scenario_details, style_of, tally

if TYPE_CHECKING:
    from bench.report.context import Context

_FAMILIES = ("io", "net")
"""The first words of the scenarios shown here."""
_TAIL = re.compile(r"[-.]p\d+$")
_COPY_UP = re.compile(r"copy-?up-(?P<size>\d+)(?P<unit>k|m)", re.IGNORECASE)


def build(context: Context) -> list[Block]:
    found = [s for s in context.session.scenarios if s.name.split("-")[0] in _FAMILIES and context.metrics_of(s.name)]
    blocks: list[Block] = []
    for scenario in found:
        blocks += _family(context, scenario.name, format.clean(scenario.title, 80) if len(found) > 1 else "")
    return blocks


def _family(context: Context, scenario: str, title: str) -> list[Block]:
    metrics = context.metrics_of(scenario)
    if not metrics:
        return []
    main = [m for m in metrics if not _TAIL.search(m) and not m.startswith("cpu") and not _COPY_UP.search(m)]
    blocks: list[Block] = [Heading(title)] if title else []
    if main:
        headline = tally(context, [r for m in main for r in context.select(scenario, m)], f"{scenario} costs")
        figure = dot_panels(context, scenario, main, headline, names=representatives(context))
        blocks += [figure] if figure else []
    blocks += _copy_up(context, scenario, metrics)
    return [*blocks, *scenario_details(context, scenario)]


def _copy_up(context: Context, scenario: str, metrics: list[str]) -> list[Block]:
    """The first write to a file of the lower layer, against the size of that file."""
    sizes = sorted((_size(m), m) for m in metrics if _COPY_UP.search(m))
    if not sizes:
        return []
    series, rows, dearest = [], [], (0.0, "", "")
    for name in context.measured({r.environment for _, m in sizes for r in context.select(scenario, m)}):
        found = [(size, context.find(scenario, metric, name)) for size, metric in sizes]
        points = [(size, row) for size, row in found if row is not None]
        lows, highs = [row.q25 for _, row in points], [row.q75 for _, row in points]
        xs, ys = [size / 1024 for size, _ in points], [row.median for _, row in points]
        series.append(charts.Series(name, xs, ys, style_of(context, name), lows, highs))
        rows.append([name_cell(context, name), *(row.value_text if row else format.MISSING for _, row in found)])
        dearest = max([dearest, *((row.median, name, format.quantity(size, "byte")) for size, row in points)])
    title = (
        f"The dearest first write is to a file of {dearest[2]} in {format.clean(dearest[1], 40)}: "
        f"{format.quantity(dearest[0], 'second')}"
    )
    data = table("First write to an existing file, by its size",
                 ["environment", *(format.quantity(size, "byte") for size, _ in sizes)], rows)  # fmt: skip
    picture = charts.points(series, "size of the file, KiB", "second", lines=True, log_x=True)
    note = "Median and quartiles; log axes, lower is better."
    return [Figure(title, picture, alt_of(title, data), note, data)]


def _size(metric: str) -> float:
    match = _COPY_UP.search(metric)
    assert match is not None
    return float(match["size"]) * (1024.0 if match["unit"].lower() == "k" else 1048576.0)


SECTION = Section(80, "io", "I/O", build)
