"""2. Why the numbers may be believed, and where they may not: blocks, control, marks, skips, failures, oddities."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from bench.report import format
from bench.report.blocks import Banner, Details, Items, Span, table
from bench.report.context import BAND, Section
from bench.report.flags import flags

if TYPE_CHECKING:
    from bench.report.blocks import Block, Text
    from bench.report.context import Context, Estimate


def build(context: Context) -> list[Block]:
    return [
        *_banners(context),
        _facts(context),
        *_flagged(context),
        *_shapes(context),
        *_skips(context),
        *_failures(context),
        *_marked(context),
        *_control(context),
    ]


def _banners(context: Context) -> list[Block]:
    host, blocks = context.session.host, []
    virtual = host.get("virtual", "")
    if virtual and virtual != "bare metal":
        text = f"This host is itself virtual ({format.clean(virtual, 80)}): trust the ratios, not the absolute values."
        blocks.append(Banner(text))
    emulated = [e.name for e in context.session.environments if e.name.startswith("tcg") and e.facts]
    if emulated:
        names = format.listing([format.clean(name, 40) for name in emulated])
        blocks.append(
            Banner(f"{names} ran without KVM: an emulated processor, not what a virtual machine costs with KVM.")
        )
    if not context.session.finished:
        blocks.append(Banner("The run was cut off; this report shows the blocks that were finished."))
    return [*blocks]


def _facts(context: Context) -> Block:
    session = context.session
    measured = [block for block in session.blocks if block.index > 0]
    left_out = [block for block in measured if block.marks]
    cells = [cell for block in session.blocks for cell in block.cells]
    spent = sum(cell.seconds for cell in cells)
    inside = sum(cell.inside for cell in cells)
    stopped = {
        "precise": "every interval was narrow enough",
        "blocks": "the number of blocks was reached",
        "max-time": "the time allowed was used up",
        "interrupted": "it was interrupted",
    }.get(session.stopped, format.clean(session.stopped, 80) or "it was cut off")
    rows: list[list[Text]] = [
        ["blocks", f"{len(measured)} measured and 1 warm-up, of which {len(left_out)} left out for interference"],
        ["order", f"shuffled in every block from seed {session.seed}; each block launches every environment once"],
        ["duration", _duration(context)],
        ["ended because", stopped],
        ["A/A control", control_sentence(context)],
        ["band", f"equivalent: the whole interval within ±{format.percent(BAND)} of the baseline"],
    ]
    if spent:
        rows.insert(
            3,
            [
                "time inside environments",
                f"{format.percent(inside / spent)} of the time measured; the rest is the harness",
            ],
        )
    if session.imprecise:
        names = format.listing([format.clean(name, 80) for name in session.imprecise], 8)
        rows.append(["imprecise", f"the interval was still too wide at the end for {names}"])
    return table("What this run was", ["about", "what was done"], rows, left=2)


def control_sentence(context: Context) -> str:
    """What the baseline's second copy says about the whole method."""
    rows = [row for row in context.estimates if row.control and row.ratio == row.ratio]
    if not rows:
        return "not taken"
    hits = [row for row in rows if row.p < 0.05]
    widest = max(rows, key=lambda row: abs(row.ratio - 1))
    expected = format.number(0.05 * len(rows))
    return (
        f"{context.baseline} against itself differs at p < 0.05 in {len(hits)} of {format.count(len(rows), 'metric')} "
        f"(chance alone: {expected}); the largest ratio is {widest.ratio_text} in {widest.name}"
    )


def _control(context: Context) -> list[Block]:
    rows = [row for row in context.estimates if row.control]
    if not rows:
        return []
    cells: list[list[Text]] = [[row.name, str(row.n), row.ratio_text, _p(row), format.percent(row.mde)] for row in rows]
    columns = ["metric", "n", "ratio to itself [95 %]", "p", "smallest effect that would be seen"]
    caption = f"{context.baseline} against its second copy: every ratio should be 1"
    return [Details("The A/A control in every metric", [table(caption, columns, cells)])]


def _p(row: Estimate) -> str:
    return format.MISSING if row.p != row.p else "< 0.001" if row.p < 0.001 else format.number(row.p)


def _flagged(context: Context) -> list[Block]:
    found = flags(context)
    if not found:
        return []
    rows: list[list[Text]] = [[format.clean(f.benchmark, 120), f.value, f.reason] for f in found]
    caption = "Numbers that cannot be what they seem"
    return [table(caption, ["benchmark", "value", "likely reason"], rows, left=3)]


def _shapes(context: Context) -> list[Block]:
    """Series of which the median tells half the truth."""
    from bench.analysis.shape import oddities

    found = oddities(context.samples)
    rows: list[list[Text]] = [
        [f"{format.clean(o.scenario, 40)}.{format.clean(o.metric, 40)}/{format.clean(o.environment, 40)}", o.text]
        for o in found
    ]
    if not rows:
        return []
    caption = "Benchmarks whose values are not one level with noise: two groups, or a drift within the run"
    return [
        Details(
            f"{format.count(len(rows), 'benchmark')} in two groups or drifting",
            [table(caption, ["benchmark", "what it is"], rows, left=2)],
        )
    ]


def _skips(context: Context) -> list[Block]:
    skips = context.session.skips
    rows: list[list[Text]] = [
        [
            (Span(format.clean(s.environment, 80), "strong"),),
            format.clean(s.scenario, 80) or "all",
            (Span(format.clean(s.reason)), Span(format.clean(s.remedy), "small")),
        ]
        for s in skips
    ]
    if not rows:
        return []
    caption = "What this host could not measure, why, and what would mend it"
    return [table(caption, ["environment", "scenario", "reason"], rows, left=3)]


def _failures(context: Context) -> list[Block]:
    counted: Counter[tuple[str, str, str]] = Counter()
    consoles: dict[tuple[str, str, str], str] = {}
    for failure in context.session.failures:
        key = (failure.environment, failure.scenario, failure.reason)
        counted[key] += 1
        consoles[key] = failure.console or consoles.get(key, "")
    rows: list[list[Text]] = [
        [
            (Span(format.clean(environment, 80), "strong"),),
            format.clean(scenario, 80),
            str(times),
            (Span(format.clean(reason)), Span(format.clean(consoles[environment, scenario, reason], 200), "small")),
        ]
        for (environment, scenario, reason), times in counted.most_common(50)
    ]
    if not rows:
        return []
    more = len(counted) - len(rows)
    caption = "Measurements that failed, with the last words of their console" + (
        f" ({more} more kinds)" if more else ""
    )
    return [table(caption, ["environment", "scenario", "times", "reason"], rows, left=4)]


def _marked(context: Context) -> list[Block]:
    marks = Counter(mark for block in context.session.blocks if block.index > 0 for mark in block.marks)
    if not marks:
        return []
    entries: list[Text] = [f"{format.clean(mark)}: {format.count(n, 'block')}" for mark, n in marks.most_common(20)]
    return [Details("Why blocks were left out", [Items(entries)])]


def _duration(context: Context) -> str:
    session = context.session
    if session.blocks:
        last = session.blocks[-1]
        measuring = format.duration(last.started + last.seconds)
    else:
        measuring = "no time"
    try:
        begin, end = (datetime.fromisoformat(s) for s in (session.started, session.finished))
    except ValueError:
        return f"{measuring} of measuring"
    return f"{measuring} of measuring, from {begin:%Y-%m-%d %H:%M} to {end:%H:%M} UTC"


SECTION = Section(20, "trust", "Can this be trusted?", build)
