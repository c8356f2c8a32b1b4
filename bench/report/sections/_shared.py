"""Layout that several sections share."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis.verdicts import centred
from isobench.core.model import BAND
from isobench.layout import format
from isobench.layout.blocks import Cell, Details, Figure, Heading, Span, Table, plain, table
from isobench.report import charts, rules
from isobench.report.context import shade_of, verdict_span
from isobench.report.needs import representatives

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Block, Text
    from isobench.report.context import Context


def name_cell(context: Context, name: str) -> Text:
    """An environment's name with its title beneath."""
    title = context.title(name)
    words = format.clean(name, 60)
    return (Span(words, "strong"), Span(title, "small")) if title != words else (Span(words, "strong"),)


SEEN_LISTS = frozenset({"writable", "readable", "devices", "sockets", "mounted"})
"""Facts of what a program inside sees that list names; a table shows their number."""


def count_of(text: str) -> int:
    """How many names are listed in a fact."""
    return 0 if text in ("", "none") else len(text.split(", "))


def seen_cell(text: str, *, is_list: bool) -> str:
    """A fact of what a program inside sees, or how many names it lists."""
    return str(count_of(text)) if is_list and text else format.clean(text, 60) or format.MISSING


def style_of(context: Context, name: str) -> int:
    """The number of an environment's colour and marker, the same in every figure; those drawn most come first."""
    first = representatives(context)
    return first.index(name) if name in first else len(first) + context.order.get(name, 0)


def estimate_cells(context: Context, row: Estimate) -> list[Cell | Text]:
    """n, median, quartiles, minimum, ratio and verdict of one estimate."""
    is_baseline = row.environment == context.baseline
    quartiles = f"{format.quantity(row.q25, row.unit)} … {format.quantity(row.q75, row.unit)}"
    ratio: Cell | Text = "baseline" if is_baseline else Cell(format.against(row), shade_of(row))
    verdict: Text = "" if is_baseline else verdict_span(row)
    minimum = format.quantity(row.minimum, row.unit)
    return [str(row.n), (Span(format.cost(row), "strong"),), quartiles, minimum, ratio, verdict]


ESTIMATE_COLUMNS = ["n", "median", "quartiles", "minimum", "against the baseline [95 %]", "verdict"]


def estimate_table(context: Context, caption: str, rows: Sequence[Estimate]) -> Table:
    """One metric in every environment."""
    cells = [[name_cell(context, row.environment), *estimate_cells(context, row)] for row in rows]
    return replace(table(caption, ["environment", *ESTIMATE_COLUMNS], cells), cost=rows[0].name)


class Ratio(NamedTuple):
    """The ratio of a cost in one scenario to that in another, in the same environment, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def words(self) -> str:
        return format.ratio_interval(self.value, self.low, self.high)


def within_blocks(
    context: Context, metric: str, scenario: str, reference: str, environment: str, *, than: str = ""
) -> Ratio | None:
    """The ratio of two scenarios, or to another metric (`than`), block by block; None where they share no block."""
    costs = ((scenario, metric), (reference, than or metric))
    here, there = (dict(zip(*context.values(*cost, environment), strict=True)) for cost in costs)
    logs = [math.log(here[b] / there[b]) for b in here if there.get(b, 0.0) > 0 < here[b] < math.inf]
    if not logs:
        return None
    one = centred(logs, context.results.wanders)
    return Ratio(*(math.exp(min(value, 700.0)) for value in (one.centre, one.low, one.high)))


def whole_number(text: str) -> float:
    """A fact that is a number, such as of bytes; NaN for anything else that a record may say."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else math.nan


def scenario_details(context: Context, scenario: str, metrics: Sequence[str] | None = None) -> list[Block]:
    """One fold with a table for each metric of the scenario, headed by the metric's meaning.

    In a run with very many costs the tables have only one environment of each kind, so that a browser can open the
    page.
    """
    tables: list[Block] = []
    names = representatives(context) if len(context.estimates) > MOST_ESTIMATES else None
    for metric in metrics if metrics is not None else context.metrics_of(scenario):
        rows = context.select(scenario, metric)
        kept = [row for row in rows if names is None or row.environment in names]
        rows = kept or rows
        if rows:
            record = context.metric(scenario, metric)
            meaning = f": {format.clean(record.meaning, 200)}" if record and record.meaning else ""
            tables.append(estimate_table(context, f"{format.clean(rows[0].name, 120)}{meaning}", rows))
    count = format.count(len(tables), "metric")
    which = f"Numbers of {len(names)} environments; `isobench export --to csv` has all:" if names else "All numbers of"
    return [Details(f"{which} {format.clean(scenario, 60)} ({count})", tables)] if tables else []


MOST_ESTIMATES = 4000
"""A page with more rows of tables than this shows one environment of each kind."""


MOST_DRAWN = 20
"""A drawing with more environments than this shows one of each kind: more cannot be distinguished, and make large
files."""


def drawn(context: Context, names: Sequence[str]) -> list[str]:
    """Those of these environments that a drawing shows."""
    return _few(context, names) if len(names) > MOST_DRAWN else list(names)


def tabled(context: Context, names: Sequence[str]) -> list[str]:
    """Those of these environments that have a column of a table."""
    return _few(context, names) if len(context.estimates) > MOST_ESTIMATES else list(names)


def _few(context: Context, names: Sequence[str]) -> list[str]:
    kinds = representatives(context)
    return [name for name in names if name in kinds] or list(names[:MOST_DRAWN])


PANELS = 12
"""The most metrics that are drawn of a scenario without a section of its own; the tables beneath have all."""


def whole_scenario(context: Context, scenario: str, metrics: Sequence[str] | None = None) -> list[Block]:
    """A scenario without a section of its own: metrics over the number of instances, the others as dots, and all
    numbers. `metrics` limits it to these."""
    chosen = list(metrics) if metrics is not None else context.metrics_of(scenario)
    if not chosen:
        return []
    names = representatives(context)
    record = next((s for s in context.session.scenarios if s.name == scenario), None)
    figures = over_count(context, scenario, names, "instances") if metrics is None else []
    others = [m for m in chosen if not OVER_COUNT.match(m)][:PANELS]
    title = finding(context, context.select(scenario, others[0]), f"{scenario}.{others[0]}") if others else ""
    dots = dot_panels(context, scenario, others, title, names=names)
    blocks: list[Block] = [Heading(format.clean(record.title if record else scenario, 80)), *figures]
    return [*blocks, *([dots] if dots else []), *scenario_details(context, scenario, chosen)]


def dot_panels(
    context: Context, scenario: str, metrics: Sequence[str], title: str, *, names: Sequence[str] | None = None
) -> Figure | None:
    """Small multiples of absolute medians with quartiles, one panel a metric, with the table of what is drawn."""
    grid, rows = [], []
    for metric in metrics:
        chosen = [r for r in context.select(scenario, metric) if names is None or r.environment in names]
        points = [charts.Interval(r.environment, "", r.median, r.q25, r.q75, style_of(context, r.environment))
                  for r in chosen]  # fmt: skip
        if points:
            grid.append(charts.Panel(metric, points, chosen[0].unit))
            rows += [[f"{metric} / {format.clean(r.environment, 60)}", *estimate_cells(context, r)] for r in chosen]
    if not grid:
        return None
    data = table(f"Medians and quartiles of {scenario}", ["metric / environment", *ESTIMATE_COLUMNS], rows)
    note = f"Point: median; line: quartiles; {_axes(grid)}, lower is better. {sample_note(context, scenario, metrics)}"
    return Figure(title, charts.panels(grid, min(len(grid), 2)), alt_of(title, data), note, data)


def _axes(grid: Sequence[charts.Panel]) -> str:
    lowest = min(min(row.value, row.low) for panel in grid for row in panel.rows)
    return "log axes" if lowest > 0 else "log axes (linear where there is a value of zero or less)"


def parts_figure(
    context: Context, scenario: str, metrics: Sequence[str], what: str, names: Sequence[str]
) -> Figure | None:
    """How a cost divides into its parts, environment by environment, as shares of their sum.

    Medians over different blocks do not add up, and are not drawn.
    """
    bars, rows, unit, uneven = [], [], "second", []
    for name in names:
        found = [context.find(scenario, metric, name) for metric in metrics]
        if len({row.counted for row in found if row}) > 1:
            uneven.append(format.clean(name, 40))
            continue
        values = [row.median if row else math.nan for row in found]
        if any(found):
            unit = next(row.unit for row in found if row)
            bars.append(charts.Bar(name, values))
            total = format.quantity(sum(v for v in values if v == v), unit)
            rows.append(
                [name_cell(context, name), *(format.cost(row) if row else format.MISSING for row in found), total]
            )
    if not any(value > 0 for bar in bars for value in bar.parts) or len(metrics) < 2:
        return None
    by_block = {(bar.label, metric): dict(zip(*context.values(scenario, metric, bar.label), strict=True))
              for bar in bars for metric in metrics}  # fmt: skip
    title, largest = f"{what}, in {len(metrics)} parts", largest_part(context, bars, metrics, by_block)
    if largest is not None:
        share, part, label = largest
        title = f"{what}: the largest part is {part} in {format.clean(label, 40)}, {format.about(share)} of its sum"
    data = table(f"{what}: median of each part", ["environment", *metrics, "sum"], rows)
    note = f"Each part as a share of the sum, with the sum beside it. {sample_note(context, scenario, metrics)}"
    if uneven:
        note += f" Not drawn, as not every part is there in every block: {format.listing(uneven)}."
    return Figure(title, charts.stacked(bars, metrics, unit), alt_of(title, data), note, data)


def largest_part(
    context: Context,
    bars: Sequence[charts.Bar],
    parts: Sequence[str],
    values: Mapping[tuple[str, str], Mapping[int, float]],
) -> tuple[float, str, str] | None:
    """The largest part of those that may be named: its share of its bar, its name and the bar's; None if another may be
    as large. `values` are those of each (bar, part), by block."""
    chosen = rules.foremost(context, {key: of for key, of in values.items() if rules.is_choice(context, key[0])})
    if chosen is None:
        return None
    label, part = chosen
    shown = next(bar.parts for bar in bars if bar.label == label)
    value = shown[parts.index(part)]
    return (value / sum(one for one in shown if one > 0), part, label) if value > 0 else None


OVER_COUNT = re.compile(r"^(?P<what>.+)-(?P<count>\d+)$")
"""Matches a metric that was taken with several instances: "pss-16"."""


def over_count(context: Context, scenario: str, names: Sequence[str], of: str, *, fit: bool = False) -> list[Figure]:
    """One figure for each quantity that the scenario takes with several numbers of instances: lines over that
    number."""
    found: dict[str, list[int]] = {}
    for match in map(OVER_COUNT.match, context.metrics_of(scenario)):
        if match:
            found.setdefault(match["what"], []).append(int(match["count"]))
    return [_over_count(context, scenario, what, sorted(counts), names, of, fit) for what, counts in found.items()]


def _over_count(
    context: Context, scenario: str, what: str, counts: list[int], names: Sequence[str], of: str, fit: bool
) -> Figure:
    series, rows, ends, unit = [], [], {}, "second"
    for name in names:
        points = [(count, context.find(scenario, f"{what}-{count}", name)) for count in counts]
        known = [(count, row) for count, row in points if row is not None]
        if not known:
            continue
        xs, ys, unit = [float(n) for n, _ in known], [row.median for _, row in known], known[0][1].unit
        line = line_fit(xs, ys) if fit else None
        lows, highs = [row.q25 for _, row in known], [row.q75 for _, row in known]
        series.append(charts.Series(name, xs, ys, style_of(context, name), lows, highs, line))
        slope = [f"{format.quantity(line[0], unit)}" if line else format.MISSING] if fit else []
        rows.append(
            [name_cell(context, name), *slope, *(format.cost(row) if row else format.MISSING for _, row in points)]
        )
        if rules.is_choice(context, name):
            ends[name] = _logs_over_count(context, scenario, what, counts, name, fit)
    per = "one more instance costs" if fit else f"at {counts[-1]} {of} it costs"
    title = f"{what} over the number of {of}, up to {counts[-1]}"
    if (found := rules.farthest(context, ends)) is not None:
        cheap, dear = (format.clean(name, 40) for name in found[:2])
        title = f"{what}: {per} {format.ratio(found[2])} as much in {dear} as in {cheap}"
    heads = ["environment", *(["slope (one more)"] if fit else []), *(f"N = {n}" for n in counts)]
    data = table(f"{what} over the number of {of}", heads, rows)
    counted = sample_note(context, scenario, [f"{what}-{n}" for n in counts])
    note = f"Median and quartiles{'; line: least squares' if fit else '; log axes'}. {counted}"
    picture = charts.points(series, of, unit, log=not fit, log_x=not fit and counts[0] > 0, lines=True)
    return Figure(title, picture, alt_of(title, data), note, data)


def _logs_over_count(
    context: Context, scenario: str, what: str, counts: list[int], name: str, fit: bool
) -> dict[int, float]:
    """The logarithm of the slope of each block's line, or of its value at the largest number; empty if one is not
    positive."""
    taken = {n: dict(zip(*context.values(scenario, f"{what}-{n}", name), strict=True)) for n in counts}
    found = dict(taken[counts[-1]])
    if fit:
        blocks = set[int]().union(*taken.values())
        points = {block: [(float(n), taken[n][block]) for n in counts if block in taken[n]] for block in blocks}
        lines = {block: line_fit([x for x, _ in of], [y for _, y in of]) for block, of in points.items()}
        found = {block: line[0] for block, line in lines.items() if line is not None}
    return {block: math.log(value) for block, value in found.items()} if min(found.values(), default=0.0) > 0 else {}


def line_fit(xs: list[float], ys: list[float]) -> tuple[float, float] | None:
    """Slope and intercept by least squares; None for fewer than two different x."""
    n, mean_x, mean_y = len(xs), sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    if n < 2 or spread == 0:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    return slope, mean_y - slope * mean_x


def sample_note(context: Context, scenario: str, metrics: Sequence[str]) -> str:
    """ "n = 20 per point", or the range."""
    counts = sorted({row.n for metric in metrics for row in context.select(scenario, metric)})
    if not counts:
        return "n = 0."
    return f"n = {counts[0]} per point." if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]} per point."


def alt_of(title: str, data: Table, limit: int = 12) -> str:
    """Alternative text of a drawing: its finding and the first rows of its data."""
    lines = ["; ".join(plain(cell.text) for cell in row if plain(cell.text)) for row in data.rows[:limit]]
    more = f" And {len(data.rows) - limit} more rows in the table beneath." if len(data.rows) > limit else ""
    return format.clean(f"{title} {data.caption}: {'. '.join(lines)}.{more}", 1500)


def spread(rows: Sequence[Estimate], baseline: str) -> tuple[Estimate, Estimate] | None:
    """The cheapest and the most expensive isolation by ratio, or None if only the baseline was measured."""
    others = sorted((r for r in rows if r.environment != baseline and r.ratio == r.ratio), key=lambda r: r.ratio)
    return (others[0], others[-1]) if others else None


def tally(context: Context, rows: Sequence[Estimate], what: str) -> str:
    """A title for many metrics: how many equal the baseline, and which is the most expensive."""
    named = rules.nameable(context, rows)
    others = [r for r in named if r.environment != context.baseline and r.ratio == r.ratio]
    if not others and any(r.ratio == r.ratio and r.environment != context.baseline for r in rows):
        return f"{what[:1].upper()}{what[1:]}: all but the baseline's are of {rules.ASIDE}"
    if not others:
        why = f"{format.clean(context.baseline, 40)} has no value to compare with"
        if any(r.environment == context.baseline for r in rows):
            why = f"measured in {format.clean(context.baseline, 40)} alone"
        return f"{what[:1].upper()}{what[1:]}: {why}"
    top = rules.dearest(others)
    return verdict_counts(others, what) + (f"; {_dearest(top)}" if top else "")


def _dearest(top: Sequence[Estimate]) -> str:
    """Names the most expensive, or all that cannot be distinguished, with the lowest ratio among them."""
    names = [f"{row.metric} in {format.clean(row.environment, 40)}" for row in top]
    if len(names) == 1:
        return f"the most expensive is {names[0]}, {format.ratio(top[0].ratio)}"
    return f"the most expensive are {format.listing(names, 3)}, from {format.ratio(min(row.ratio for row in top))}"


def verdict_counts(rows: Sequence[Estimate], what: str) -> str:
    """How many costs lie where: "Of 26 costs, 15 above the baseline's, 2 within 5 % of it and 9 undecided"."""
    if len(rows) == 1:
        what = what.removesuffix("s")
    words = {"slower": "above", "faster": "below", "equivalent": f"within {format.percent(BAND)} of", "": "undecided"}
    counted = Counter(row.verdict if row.verdict in words else "" for row in rows)
    found = [f"{counted[verdict]} {word}" for verdict, word in words.items() if counted[verdict]]
    whose = ["the baseline's", *["it"] * (len(found) - 1)]
    told = [f"{part} {it}" if part[-9:] != "undecided" else part for part, it in zip(found, whose, strict=True)]
    return f"Of {len(rows)} {what}, {format.listing(told)}"


def finding(context: Context, rows: Sequence[Estimate], what: str) -> str:
    """A title with the finding: the cheapest and the most expensive environment that may be named."""
    measured, rows = rows, rules.nameable(context, rows)
    ends = spread(rows, context.baseline)
    if ends is None:
        return f"{what}: {_alone(context, measured)}"
    low, high = ends
    baseline = format.clean(context.baseline, 40)
    if low.environment == high.environment:
        return f"{what}: {format.clean(low.environment, 40)} against {baseline}: {rules.said(low)}"
    named = rules.differing(rows, context.baseline)
    if all(row.ratio_low != row.ratio_low for row in rows if row.environment != context.baseline):
        return f"{what}: too few blocks to tell {len(rows) - 1} environments from {baseline}"
    if not named:
        return f"{what}: none of {len(rows) - 1} environments can be distinguished from {baseline}"
    high = named[-1]
    low = low if low.verdict in ("equivalent", "slower", "faster") else named[0]
    if low.environment == high.environment:
        return f"{what}, against {baseline}: {rules.said(high)} in {format.clean(high.environment, 40)}"
    return (
        f"{what}, against {baseline}: from {rules.said(low)} ({format.clean(low.environment, 40)}) "
        f"to {rules.said(high)} ({format.clean(high.environment, 40)})"
    )


def _alone(context: Context, rows: Sequence[Estimate]) -> str:
    """Why there is no finding: nothing besides the baseline, nothing that may be named, or no baseline."""
    base = next((row for row in rows if row.environment == context.baseline), None)
    if base is not None and len(rows) == 1:
        return f"measured in {format.clean(context.baseline, 40)} alone"
    if base is not None:
        return f"{format.cost(base)} in {format.clean(context.baseline, 40)}, the others are {rules.ASIDE}"
    return f"no ratio, as the baseline {format.clean(context.baseline, 40)} has no value"
