"""I/O: storage, metadata and network as small multiples, with percentiles, and copy-up against file size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis.results import Difference
from isobench.estimation import paired
from isobench.layout import format
from isobench.layout.blocks import Block, Cell, Figure, Heading, Paragraph, Text, table
from isobench.report import charts, rules
from isobench.report.context import Section
from isobench.report.flags import memory_answers
from isobench.report.sections._shared import (
    alt_of,
    dot_panels,
    drawn,
    finding,
    name_cell,
    sample_note,
    scenario_details,
    style_of,
    tally,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Table
    from isobench.report.context import Context

_FAMILIES = ("io", "net")
"""The first words of the scenarios shown here."""
_TAIL = re.compile(r"[-.]p(?P<percentile>\d+(\.\d+)?)$")
_COPY_UP = re.compile(r"copy-?up-(?P<size>\d+)(?P<unit>k|m)", re.IGNORECASE)
_BESIDE = re.compile(r"(^cpu|-cpu$|^again-)")
"""Metrics that accompany another one: CPU time of the same operation, the second write after the first."""

_PERCENTILES = ("p50", "p99", "p99.9")


class _Path(NamedTuple):
    """Two environments whose storage is compared, and what differs between them."""

    upper: str
    lower: str
    cause: str

    @property
    def title(self) -> str:
        return f"{format.clean(self.upper, 60)} against {format.clean(self.lower, 60)}"


def build(context: Context) -> list[Block]:
    found = [s for s in context.session.scenarios if s.name.split("-")[0] in _FAMILIES and context.metrics_of(s.name)]
    blocks: list[Block] = _in_memory(context) if found else []
    for scenario in found:
        blocks += _family(context, scenario.name, format.clean(scenario.title, 80) if len(found) > 1 else "")
    return blocks


def _in_memory(context: Context) -> list[Block]:
    """A note on paths that end in memory, which explains results that look odd."""
    names = [e.name for e in context.session.environments if memory_answers(context, e.name)]
    if not names:
        return []
    words = format.listing([format.clean(name, 40) for name in names], 12)
    return [
        Paragraph(
            f"In {words}, the host's memory may answer, even with direct I/O, which bypasses only the page cache of "
            "the instance's own kernel. Such a path may well be faster than one that ends at the device."
        )
    ]


def _family(context: Context, scenario: str, title: str) -> list[Block]:
    metrics = context.metrics_of(scenario)
    if not metrics:
        return []
    main = [m for m in metrics if not _TAIL.search(m) and not _BESIDE.search(m) and not _COPY_UP.search(m)]
    names = _shown(context, scenario)
    blocks: list[Block] = [Heading(title)] if title else []
    if main:
        headline = tally(
            context,
            [r for m in main for r in context.select(scenario, m)],
            "I/O costs" if scenario == "io" else f"{scenario} costs",
        )
        figure = dot_panels(context, scenario, main, headline, names=names)
        blocks += [figure] if figure else []
    blocks += _latencies(context, scenario, main, names)
    blocks += _cpu(context, scenario, metrics, names)
    blocks += _copy_up(context, scenario, metrics)
    blocks += _paths(context, scenario, main)
    return [*blocks, *scenario_details(context, scenario)]


def _shown(context: Context, scenario: str) -> list[str]:
    """Every environment in which the scenario was measured, or one of each kind if there are very many."""
    names = context.measured({row.environment for row in context.select(scenario)})
    return drawn(context, names)


def _latencies(context: Context, scenario: str, main: list[str], names: list[str]) -> list[Block]:
    """From the median latency to the one in a thousand, a panel for each job that has all three."""
    grid, rows = [], []
    tails: dict[tuple[str, str], dict[int, float]] = {}
    for metric in main:
        points = []
        for name in names:
            found = [context.find(scenario, f"{metric}-{p}", name) for p in _PERCENTILES]
            known = [row for row in found if row is not None]
            if len(known) < len(_PERCENTILES):
                continue
            low, middle, high = (row.median for row in known)
            points.append(charts.Interval(name, "", middle, low, high, style_of(context, name)))
            rows.append([f"{metric} / {format.clean(name, 60)}", *(format.cost(row) for row in known)])
            if rules.is_choice(context, name):
                tails[metric, name] = _tail_by_block(context, scenario, metric, name)
        if points:
            grid.append(charts.Panel(metric, points, "second"))
    if not grid:
        return []
    title = f"{scenario} latencies of {format.count(len(grid), 'operation')}"
    longest = rules.foremost(context, tails)
    if longest is not None:
        times = format.ratio(paired.median(list(tails[longest].values())))
        title += (
            f": the longest tail is {longest[0]} in {format.clean(longest[1], 40)}, where one operation in a thousand "
            f"takes {times} the median"
        )
    data = table(f"Latencies of {scenario}: medians over the instances",
                 ["job / environment", *_PERCENTILES], rows)  # fmt: skip
    drawn_of = [f"{panel.title}-{p}" for panel in grid for p in _PERCENTILES]
    note = f"Line: from p50 to p99.9; point: p99; log axes, lower is better. {sample_note(context, scenario, drawn_of)}"
    return [Figure(title, charts.panels(grid, min(len(grid), 2)), alt_of(title, data), note, data)]


def _tail_by_block(context: Context, scenario: str, metric: str, name: str) -> dict[int, float]:
    """The ratio of the latency of one in a thousand to the median, block by block."""
    usual, rare = (dict(zip(*context.values(scenario, f"{metric}-{p}", name), strict=True))
                   for p in (_PERCENTILES[0], _PERCENTILES[-1]))  # fmt: skip
    return {block: rare[block] / usual[block] for block in usual.keys() & rare.keys() if usual[block] > 0}


def _cpu(context: Context, scenario: str, metrics: list[str], names: list[str]) -> list[Block]:
    chosen = [m for m in metrics if m.endswith("-cpu")]
    rows = [row for metric in chosen for row in context.select(scenario, metric)]
    if not rows:
        return []
    headline = tally(context, rows, f"{scenario} CPU times of an operation")
    figure = dot_panels(context, scenario, chosen, headline, names=names)
    return [figure] if figure else []


def _paths(context: Context, scenario: str, main: list[str]) -> list[Block]:
    """Every storage path against the one it is compared with, if that is not the baseline: qcow2 against raw."""
    names = {row.environment for row in context.select(scenario)}
    paths = [
        _Path(e.name, str(e.compared_with), _cause(context, e.name))
        for e in context.session.environments
        if e.name in names and e.compared_with in names and e.compared_with != context.baseline
    ]
    if not paths or not main:
        return []
    caption = f"{scenario}: each storage path against the one it differs from, paired differences [95 %]"
    return [_path_table(context, caption, main, paths, _differences(context, scenario, paths))]


def _cause(context: Context, name: str) -> str:
    """What distinguishes an environment from the one it is compared with."""
    record = context.environment(name)
    adds = format.clean(record.adds, 120) if record else ""
    return adds if record and record.single_factor else f"several things: {adds}"


def _differences(context: Context, scenario: str, paths: list[_Path]) -> dict[tuple[str, str, str], Difference]:
    """The paired differences by metric and the two ends of a path."""
    found = context.results.differences(scenario, [(path.upper, path.lower) for path in paths])
    return {(d.metric, d.environment, d.compared_with): d for d in found}


def _path_table(
    context: Context,
    caption: str,
    metrics: list[str],
    paths: list[_Path],
    known: dict[tuple[str, str, str], Difference],
) -> Table:
    rows: list[list[Cell | Text]] = []
    for path in paths:
        for metric in metrics:
            difference = known.get((metric, path.upper, path.lower))
            base = context.find(difference.scenario, metric, path.lower) if difference else None
            if difference is not None and base is not None:
                rows.append([path.title, metric, path.cause, format.cost(base), format.difference(difference)])
    return table(caption, ["path", "operation", "what differs", "the other's median", "difference"], rows, left=3)


def _copy_up(context: Context, scenario: str, metrics: list[str]) -> list[Block]:
    """The first write to a file of the lower layer, against the size of that file."""
    sizes = sorted((_size(m), m) for m in metrics if _COPY_UP.search(m))
    if not sizes:
        return []
    series, rows = [], []
    names = context.measured({r.environment for _, m in sizes for r in context.select(scenario, m)})
    for name in drawn(context, names):
        found = [(size, context.find(scenario, metric, name)) for size, metric in sizes]
        points = [(size, row) for size, row in found if row is not None]
        lows, highs = [row.q25 for _, row in points], [row.q75 for _, row in points]
        xs, ys = [size / 1024 for size, _ in points], [row.median for _, row in points]
        series.append(charts.Series(name, xs, ys, style_of(context, name), lows, highs))
        rows.append([name_cell(context, name), *(_with_quartiles(row) for _, row in found)])
    title = finding(context, context.select(scenario, sizes[-1][1]), "First write to the largest file")
    data = table("First write to an existing file, by its size: median (quartiles)",
                 ["environment", *(format.quantity(size, "byte") for size, _ in sizes)], rows)  # fmt: skip
    picture = charts.points(series, "size of the file, KiB", "second", lines=True, log_x=True)
    note = f"Median and quartiles; log axes, lower is better. {sample_note(context, scenario, [m for _, m in sizes])}"
    return [Figure(title, picture, alt_of(title, data), note, data), *_overlay_adds(context, scenario, sizes)]


def _with_quartiles(row: Estimate | None) -> str:
    if row is None:
        return format.MISSING
    return f"{format.cost(row)} ({format.quantity(row.q25, row.unit)} … {format.quantity(row.q75, row.unit)})"


def _overlay_adds(context: Context, scenario: str, sizes: list[tuple[float, str]]) -> list[Block]:
    """What an overlay adds to the first write, paired: against the same environment without one, if that was
    measured."""
    paths = _overlay_paths(context, scenario)
    known = _differences(context, scenario, paths) if paths else {}
    series: list[charts.Series] = []
    added: dict[Difference, tuple[int, str]] = {}
    for path in paths:
        found = [(size, known.get((metric, path.upper, path.lower))) for size, metric in sizes]
        points = [(size, difference) for size, difference in found if difference is not None]
        sure = all(d.low == d.low for _, d in points)
        lows, highs = ([d.low for _, d in points], [d.high for _, d in points]) if sure else ([], [])
        xs, ys = [size / 1024 for size, _ in points], [d.value for _, d in points]
        series.append(charts.Series(path.title, xs, ys, style_of(context, path.upper), lows, highs))
        added |= {d: (place, path.title) for place, (_, d) in enumerate(found) if d is not None}
    if not known:
        return []
    metrics = [metric for _, metric in sizes] + [m for m in context.metrics_of(scenario) if m.startswith("again-")]
    data = _path_table(context, f"{scenario}: with an overlay against without one, paired differences [95 %]",
                       metrics, paths, known)  # fmt: skip
    title = _what_overlays_add(added, len(sizes))
    picture = charts.points(series, "size of the file, KiB", "second", lines=True, log_x=True)
    counts = sorted({d.n for d in known.values()})
    pairs = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    note = f"Paired difference and its 95 % interval; n = {pairs} pairs per point."
    return [Figure(title, picture, alt_of(title, data), note, data)]


def _what_overlays_add(added: Mapping[Difference, tuple[int, str]], sizes: int) -> str:
    """A title: the file size and the overlay that stand out."""
    largest = rules.outstanding(list(added))
    if largest is not None:
        place, path = added[largest]
        which = {0: "the smallest file", sizes - 1: "the largest file"}.get(place, "a file of middle size")
        return f"An overlay adds most to the first write to {which}: {path}"
    dearer = len({place for difference, (place, _) in added.items() if difference.low > 0})
    if not dearer:
        return "No first write certainly costs more through an overlay"
    return f"An overlay adds to the first write to files of {dearer} of {format.count(sizes, 'size')}; none stands out"


def _overlay_paths(context: Context, scenario: str) -> list[_Path]:
    """Docker against Docker with a volume; an overlay that has no such partner against the baseline."""
    names = {row.environment for row in context.select(scenario)}
    records = [e for e in context.session.environments if e.name in names]
    overlays = {e.name for e in records if e.facts.get("storage", "").startswith("overlay")}
    paths = []
    for record in records:
        other = str(record.compared_with)
        if record.name not in overlays and other in overlays:
            paths.append(_Path(other, record.name, f"the overlay (the other: {_cause(context, record.name)})"))
        elif record.name in overlays and other in names - overlays and record.single_factor:
            paths.append(_Path(record.name, other, _cause(context, record.name)))
    alone = overlays - {path.upper for path in paths} if context.baseline in names - overlays else set()
    cause = "several things, the overlay among them"
    return paths + [_Path(e.name, context.baseline, cause) for e in records if e.name in alone]


def _size(metric: str) -> float:
    match = _COPY_UP.search(metric)
    assert match is not None
    return float(match["size"]) * (1024.0 if match["unit"].lower() == "k" else 1048576.0)


SECTION = Section(80, "io", "I/O", build)
