"""Why the numbers can be trusted, and where they cannot: blocks, control, marks, skips, failures, oddities."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from isobench.core.model import BAND, CONTROL_SUFFIX
from isobench.estimation.paired import FEWEST_PAIRS, SIGNIFICANCE, stretch
from isobench.estimation.shape import oddities
from isobench.layout import format
from isobench.layout.blocks import Banner, Details, Items, Span, table
from isobench.report.context import Section
from isobench.report.flags import flags
from isobench.report.needs import metric_for, needs_of
from isobench.results.record import ENDED_BECAUSE

if TYPE_CHECKING:
    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Block, Text
    from isobench.report.context import Context
    from isobench.results.record import FailureRecord, Session


_FAILED = 50
"""Failed cells that the report lists, the most frequent first."""

_UNKNOWN = f"not known: fewer than {FEWEST_PAIRS} pairs of blocks"

_DIGITS = re.compile(r"\d+(?:\.\d+)?")


def build(context: Context) -> list[Block]:
    return [
        *(Banner(text) for text in _unsteady_clocks(context)),
        _facts(context),
        *_flagged(context),
        *_shapes(context),
        *_skips(context),
        *_failures(context),
        *_marked(context),
        *_control(context),
    ]


def _unsteady_clocks(context: Context) -> list[str]:
    """A sentence for each environment in which the probe found an unreliable clock."""
    found = []
    for environment in context.session.environments:
        said = {text for key, text in environment.facts.items() if key.startswith("syscall") and key.endswith(".clock")}
        name = format.clean(environment.name, 40)
        found += [f"The clock inside {name} is {format.clean(text, 120)}." for text in sorted(said)]
    return found


def _facts(context: Context) -> Block:
    session = context.session
    measured = [block for block in session.blocks if block.index > 0]
    left_out = [block for block in measured if block.marks]
    cells = [cell for block in session.blocks for cell in block.cells]
    spent = sum(cell.seconds for cell in cells)
    inside = sum(cell.inside for cell in cells)
    stopped = ENDED_BECAUSE.get(session.stopped, format.clean(session.stopped, 80) or "it was cut off")
    rows: list[list[Text]] = [
        ["blocks", f"{len(measured)} measured after 1 warm-up, {_left_out(len(left_out))}"],
        ["order", f"shuffled in every block from seed {session.seed}; each block launches every environment once"],
        ["duration", _duration(context)],
        ["ended because", stopped],
        ["A/A control", control_sentence(context)],
        ["what this many blocks can show", _conclusive(context)],
        ["autocorrelated blocks", _correlated(context)],
        ["smallest effect seen", _smallest(context)],
        ["band", f"equivalent: the whole interval from {format.band(BAND)} the baseline"],
    ]
    if session.resumed:
        rows.insert(3, ["resumed", format.clean(_resumed(session), 300)])
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
    undefined = _undefined(context)
    if undefined:
        rows.append(["no ratio, because of a value of zero or less", format.listing(undefined, 12)])
    missing = _missing(context)
    if missing:
        rows.append(["fewer values than blocks", format.listing(missing, 12)])
    return table("What this run was", ["about", "what was done"], rows, left=2)


def _left_out(count: int) -> str:
    return f"{format.count(count, 'of them is', 'of them are')} excluded for interference" if count else "none excluded"


def _smallest(context: Context) -> str:
    """The minimum detectable effect of each need: from the control, which varies least, and from the environment that
    varies most."""
    known = []
    for need in needs_of(context):
        chosen = metric_for(context, need)
        control = context.find(*chosen, context.baseline + CONTROL_SUFFIX) if chosen else None
        if chosen and control and control.mde == control.mde:
            most = max(row.mde for row in (control, *context.select(*chosen)) if row.mde == row.mde)
            known.append(f"{format.about(control.mde)} (at most {format.about(most)}) in {need.word}")
    if not known:
        return "not known: fewer than six blocks with a control"
    return (
        f"four of five runs like this one would find a cost that is higher by {format.listing(known)}, if it varies as "
        "the A/A control does (in brackets: as the environment that varies most)"
    )


def _conclusive(context: Context) -> str:
    """How far beyond the band a cost has to lie, given the number of costs, in half-widths of its interval."""
    rows = [row for row in context.estimates if not row.control and row.p_holm == row.p_holm]
    if not rows:
        return "nothing: no cost has the six pairs of blocks that a 95 % interval needs"
    pairs = Counter(row.n for row in rows).most_common(1)[0][0]
    times = stretch(SIGNIFICANCE / len(rows), pairs)
    costs = format.count(len(rows), "cost")
    return (
        f"with {costs} and {format.count(pairs, 'pair')} of blocks, a cost differs if its ratio lies beyond the band "
        f"by {format.trimmed(format.number(times))} half-widths of its 95 % interval (fewer if many costs differ); the "
        "intervals of such costs are printed that wide"
    )


def _correlated(context: Context) -> str:
    """Which costs have autocorrelated blocks, and how that affects the intervals."""
    rows = [row for row in context.estimates if not row.control and row.effective == row.effective]
    found = [row for row in rows if row.effective < row.n]
    if not found:
        return "none: each counts as one" if any(row.ratio_low == row.ratio_low for row in rows) else _UNKNOWN
    least = min(found, key=lambda row: row.effective / row.n)
    costs, blocks = format.count(len(rows), "cost"), format.trimmed(format.number(least.effective))
    return (
        f"in {len(found)} of {costs}; their intervals are as wide as those of fewer independent blocks: {blocks} "
        f"instead of {least.n} in {least.name} of {format.clean(least.environment, 40)}"
    )


def _undefined(context: Context) -> list[str]:
    """Costs that have no ratio although they and the baseline were measured: leaving out their blocks of zero would
    bias the rest."""
    return [
        f"{format.clean(row.name, 80)} in {format.clean(row.environment, 40)}"
        for row in context.estimates
        if not row.control and row.ratio != row.ratio and _is_undefined(context, row)
    ]


def _is_undefined(context: Context, row: Estimate) -> bool:
    own, base = (context.values(row.scenario, row.metric, name) for name in (row.environment, context.baseline))
    base_row = context.find(row.scenario, row.metric, context.baseline)
    shared = set(own[0]) & set(base[0])
    return bool(shared) and base_row is not None and base_row.unit == row.unit


def _missing(context: Context) -> list[str]:
    """Environments with fewer values than blocks, by scenario: they failed or disappeared."""
    most: dict[tuple[str, str], int] = {}
    for row in context.estimates:
        if not row.control:
            key = (row.environment, row.scenario)
            most[key] = max(most.get(key, 0), row.counted)
    counted = context.session.blocks_used
    return [
        f"{format.clean(scenario, 40)} in {format.clean(environment, 40)} ({n} of {counted})"
        for (environment, scenario), n in most.items()
        if n < counted
    ]


def control_sentence(context: Context) -> str:
    """The result of the A/A control in one sentence."""
    rows = [row for row in context.estimates if row.control and row.ratio == row.ratio]
    if not rows:
        return "not taken"
    rows = [row for row in rows if row.ratio_low == row.ratio_low]
    if not rows:
        return _UNKNOWN
    hits = [row for row in rows if row.p < 0.05]
    widest = max(rows, key=lambda row: abs(row.ratio - 1))
    expected = format.trimmed(format.number(0.05 * len(rows)))
    return (
        f"{context.baseline} against itself differs at p < 0.05 in {len(hits)} of {format.count(len(rows), 'metric')} "
        f"(chance alone: {expected}); the largest ratio is {format.against(widest)} in {widest.name}"
    )


def _control(context: Context) -> list[Block]:
    rows = [row for row in context.estimates if row.control]
    if not rows:
        return []
    cells: list[list[Text]] = [
        [row.name, str(row.n), format.against(row), _p(row), format.percent(row.mde)] for row in rows
    ]
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
    caption = "Impossible numbers"
    return [table(caption, ["benchmark", "value", "likely reason"], rows, left=3)]


def _shapes(context: Context) -> list[Block]:
    """Series that the median describes only partly."""
    found = oddities(context.results.tables)
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


_NAMED = 20
"""How many scenarios are named that were skipped for the same reason."""


def _skips(context: Context) -> list[Block]:
    """One row for each reason of an environment: a group of scenarios may need what that does not have."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for skip in context.session.skips:
        scenarios = found.setdefault((skip.environment, skip.reason, skip.remedy), [])
        scenarios.append(format.clean(skip.scenario, 80) or "all")
    rows: list[list[Text]] = [
        [
            (Span(format.clean(environment, 80), "strong"),),
            format.listing(list(dict.fromkeys(scenarios)), _NAMED),
            (Span(format.clean(reason)), Span(format.clean(remedy), "small")),
        ]
        for (environment, reason, remedy), scenarios in found.items()
    ]
    if not rows:
        return []
    caption = "What could not be measured, with reason and remedy"
    return [table(caption, ["environment", "scenario", "reason"], rows, left=3)]


def _failures(context: Context) -> list[Block]:
    """One row for each cell that failed: how often, the most frequent reason, and the last lines of its console."""
    found: dict[tuple[str, str], list[FailureRecord]] = {}
    for failure in context.session.failures:
        found.setdefault((failure.environment, failure.scenario), []).append(failure)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    rows: list[list[Text]] = [
        [(Span(format.clean(environment, 80), "strong"),), format.clean(scenario, 80), *_reasons(failures)]
        for (environment, scenario), failures in ordered[:_FAILED]
    ]
    if not rows:
        return []
    more = len(ordered) - len(rows)
    caption = "Measurements that failed, with the last lines of their console"
    caption += f" ({format.count(more, 'more cell')} not shown)" if more else ""
    return [table(caption, ["environment", "scenario", "times", "reason"], rows, left=4)]


def _reasons(failures: list[FailureRecord]) -> tuple[str, Text]:
    """How often a cell failed, and why: the most frequent reason, numbers aside."""
    kinds = Counter(_DIGITS.sub("#", failure.reason) for failure in failures)
    kind = kinds.most_common(1)[0][0]
    last = next(failure for failure in reversed(failures) if _DIGITS.sub("#", failure.reason) == kind)
    others = f"and {format.count(len(kinds) - 1, 'other reason')}" if len(kinds) > 1 else ""
    words = (Span(format.clean(last.reason)), Span(format.clean(last.console, 200), "small"), Span(others, "small"))
    return str(len(failures)), words


def _marked(context: Context) -> list[Block]:
    marks = Counter(mark for block in context.session.blocks if block.index > 0 for mark in block.marks)
    if not marks:
        return []
    kinds: dict[str, list[str]] = {}
    for mark in marks.elements():
        kinds.setdefault(_DIGITS.sub("#", mark), []).append(mark)
    entries: list[Text] = [
        f"{format.clean(_range(found))}: {format.count(len(found), 'block')}"
        for found in sorted(kinds.values(), key=len, reverse=True)[:20]
    ]
    return [Details("Why blocks were excluded", [Items(entries)])]


def _range(marks: list[str]) -> str:
    """Marks that differ in one number as one text with its range: "waited (55 to 91% of the block)"."""
    numbers = sorted({number for mark in marks for number in _DIGITS.findall(mark)}, key=float)
    if len(numbers) < 2 or any(len(_DIGITS.findall(mark)) != 1 for mark in marks):
        return marks[0]
    return _DIGITS.sub(f"{numbers[0]} to {numbers[-1]}", marks[0])


def _resumed(session: Session) -> str:
    """When an interrupted run was resumed; each time it was warmed up again."""
    told = "; ".join(f"before block {one.block} at {one.at}" for one in session.resumed)
    return f"{told}, after another warm-up block, which is not analysed"


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


SECTION = Section(20, "trust", "Can this be trusted?", build, "Trust")
