"""Memory: the counts side by side for one instance, and what one more instance takes when there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.analysis.verdicts import centred
from isobench.estimation import slopes
from isobench.layout import format
from isobench.layout.blocks import Cell, Heading, Paragraph, Span, table
from isobench.report.context import Section, shade
from isobench.report.needs import representatives
from isobench.report.sections._shared import (
    OVER_COUNT,
    dot_panels,
    drawn,
    finding,
    name_cell,
    over_count,
    parts_figure,
    scenario_details,
    whole_scenario,
)

if TYPE_CHECKING:
    from isobench.layout.blocks import Block, Text
    from isobench.report.context import Context

_WAYS = ("available", "pss", "cgroup", "kernel", "slab", "page-tables", "kernel-stacks", "per-cpu", "fixed")
"""The slopes that the density scenario takes, and its intercept."""
_HOST_WIDE = ("available", "kernel")
"""Counts that exist everywhere: a missing one was not positive."""
_ACCOUNTS = ("available", "pss", "kernel", "daemons", "harness")
"""The total, and the counts that explain it without overlap."""
_ACCOUNTED = ("PSS", "kernel", "daemons", "harness beside it")
_COUNTS = ("pss", "uss", "rss", "cgroup")
_ONCE = ("pss-daemons",)
"""Fixed costs, independent of the number of instances: shown beside the counts, part of none."""
_PARTS = {
    "PSS, by the role of the process": ["pss-payload", "pss-helper"],
    "The cgroup's count, by kind": ["cgroup-anonymous", "cgroup-file", "cgroup-kernel"],
}
"""What divides into which metrics."""


_OTHERS = ("memory-touch", "sharing")
"""Scenarios about memory that are drawn like any other."""


def build(context: Context) -> list[Block]:
    others = [block for name in _OTHERS for block in whole_scenario(context, name)]
    return [*_single(context), *_density(context), *others]


def _single(context: Context) -> list[Block]:
    metrics = context.metrics_of("memory")
    if not metrics:
        return []
    counts = [m for m in _COUNTS if m in metrics]
    title = finding(context, context.select("memory", counts[0] if counts else metrics[0]), "Memory of one instance")
    figure = dot_panels(context, "memory", counts or metrics[:4], title, names=representatives(context))
    once = [m for m in _ONCE if m in metrics]
    blocks: list[Block] = [_side_by_side(context, "memory", [*(counts or metrics[:4]), *once])]
    blocks += [figure] if figure else []
    for whole, parts in _PARTS.items():
        found = parts_figure(context, "memory", [m for m in parts if m in metrics], whole, representatives(context))
        blocks += [found] if found else []
    return [*blocks, *scenario_details(context, "memory")]


def _side_by_side(context: Context, scenario: str, counts: list[str]) -> Block:
    rows: list[list[Cell | Text]] = []
    for name in context.measured({r.environment for r in context.select(scenario)}):
        cells: list[Cell | Text] = [name_cell(context, name)]
        for count in counts:
            row = context.find(scenario, count, name)
            if row is None:
                cells.append(format.MISSING)
                continue
            against = "baseline" if name == context.baseline else format.against(row) if row.ratio == row.ratio else ""
            cells.append(Cell((Span(format.cost(row), "strong"), Span(against, "small")), shade(row.ratio)))
        rows.append(cells)
    records = [(count, context.metric(scenario, count)) for count in counts]
    meanings = "; ".join(f"{count}: {format.clean(r.meaning, 160)}" for count, r in records if r and r.meaning)
    what = "One instance" if scenario == "memory" else "Many instances"
    ways = len([count for count in counts if count not in _ONCE])
    return table(f"{what}, counted in {ways} ways. {meanings}.", ["environment", *counts], rows)


def _density(context: Context) -> list[Block]:
    """Lines over the number of instances, and the slopes that the run itself took, side by side."""
    metrics = context.metrics_of("density")
    if not metrics:
        return []
    single = [m for m in metrics if not OVER_COUNT.match(m)]
    names = context.measured({row.environment for row in context.select("density")})
    blocks: list[Block] = [Heading("Many instances at once")]
    if single:
        slopes_taken = [m for m in single if m in _WAYS]
        blocks += [_side_by_side(context, "density", slopes_taken), *_left_out(context, names, slopes_taken)]
    blocks += _accounts(context, names)
    blocks += over_count(context, "density", drawn(context, names), "idle instances", fit=True)
    return [*blocks, *scenario_details(context, "density")]


def _accounts(context: Context, names: list[str]) -> list[Block]:
    """What one more instance takes, and how far the independent counts explain it; the rest is shown as such."""
    rows: list[list[Cell | Text]] = []
    biased: list[str] = []
    for name in names:
        found, stored = _slopes(context, name)
        if not found["available"]:
            continue
        blocks = [block for block in found["available"] if all(block in found[p] for p in _ACCOUNTS[1:] if found[p])]
        if not blocks:
            continue
        rest = [found["available"][b] - sum(found[p][b] for p in _ACCOUNTS[1:] if found[p]) for b in blocks]
        whole = centred([found["available"][block] for block in blocks], context.results.wanders)
        left = centred(rest, context.results.wanders)
        parts = [_middle(found[part], blocks) for part in _ACCOUNTS[1:]]
        share = format.percent(left.centre / whole.centre) if whole.centre > 0 else ""
        rows.append([
            name_cell(context, name),
            format.signed_interval(whole.centre, whole.low, whole.high, "byte"),
            *parts,
            (Span(format.signed_interval(left.centre, left.low, left.high, "byte"), "strong"), Span(share, "small")),
        ])  # fmt: skip
        if stored:
            biased.append(f"{format.clean(name, 40)} ({', '.join(stored)})")
    columns = ["environment", "decrease of available memory", *_ACCOUNTED, "not explained"]
    caption = (
        "One more idle instance: the decrease of available memory, the parts that PSS, the kernel's own count, the "
        "daemons' growth and the harness's own processes explain, and the rest [95 %]. It is counted host-wide: what "
        "ran meanwhile is in the rest. So are pages of sockets, pipes and translated code, and reclaimable slab, half "
        "of which the kernel takes to be available. Slopes have their sign."
    )
    if biased:
        caption += (
            f" If those do not suffice, only blocks with a positive slope are included, so the slope is too high: "
            f"{format.listing(biased)}."
        )
    return [table(caption, columns, rows)] if rows else []


def _slopes(context: Context, name: str) -> tuple[dict[str, dict[int, float]], list[str]]:
    """The slopes of the accounts by block, and which of them lack blocks because they were not positive there."""
    if _is_whole(context, _ACCOUNTS[0]):
        return {part: dict(zip(*context.values("density", part, name), strict=True)) for part in _ACCOUNTS}, []
    counts = {way: _counts(context, way, name) for way in _ACCOUNTS}
    steps = slopes.reached(counts)
    found: dict[str, dict[int, float]] = {}
    stored = []
    for part in _ACCOUNTS:
        found[part] = slopes.signed(counts[part], steps)
        if not found[part]:
            found[part] = dict(zip(*context.values("density", part, name), strict=True))
            if (found[part] or part in _HOST_WIDE) and not found[part].keys() >= steps.keys():
                stored.append(f"{part}: {len(found[part])} of {len(steps)} blocks")
    return found, stored


def _is_whole(context: Context, metric: str) -> bool:
    """Whether the run has a slope's values of either sign; older runs have only positive ones."""
    record = context.metric("density", metric)
    return record is not None and record.sign == "any"


def _counts(context: Context, way: str, name: str) -> dict[int, dict[int, float]]:
    """Number of instances -> block -> count."""
    found = {}
    for metric in context.metrics_of("density"):
        match = OVER_COUNT.match(metric)
        if match and match["what"] == way:
            found[int(match["count"])] = dict(zip(*context.values("density", metric, name), strict=True))
    return found


def _left_out(context: Context, names: list[str], metrics: list[str]) -> list[Block]:
    """The number of blocks in which a slope was not positive: the medians above are those of the others."""
    said = []
    for name in names:
        counts = {way: _counts(context, way, name) for way in _ACCOUNTS}
        fewest = min((count for way in counts.values() for count in way), default=0)
        blocks = {block for block, highest in slopes.reached(counts).items() if highest > fewest}
        lacking = []
        for metric in (m for m in metrics if not _is_whole(context, m)):
            missing = len(blocks.difference(context.values("density", metric, name)[0]))
            if missing and (missing < len(blocks) or metric != "cgroup"):
                lacking.append(f"{metric} in {missing} of {len(blocks)}")
        if lacking:
            said.append(f"{format.clean(name, 40)}: {', '.join(lacking)}")
    if not said:
        return []
    text = "Blocks left out of these medians because their value was not positive, so that the medians are too high"
    return [Paragraph(f"{text}: {'; '.join(said)}.")]


def _middle(values: dict[int, float], blocks: list[int]) -> str:
    if not values:
        return format.MISSING
    return format.quantity(centred([values[block] for block in blocks]).centre, "byte")


SECTION = Section(60, "memory", "Memory", build)
