"""Limits: which share of each an instance could use, and which are not enforced.

What was set is in a metric's name, after the last hyphen (scenarios/limits.py): percent of a CPU, MiB, MiB a second,
operations a second.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis.verdicts import centred
from isobench.layout import format
from isobench.layout.blocks import Items, Paragraph, Span, table
from isobench.report.context import Section
from isobench.report.sections._shared import name_cell, scenario_details, whole_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from isobench.layout.blocks import Block, Cell, Text
    from isobench.report.context import Context

MARGIN = 0.10
"""A limit is enforced if the whole interval of what an instance got lies this near to it. A quota has ten periods a
second, and the window ends in the middle of one."""
NONE = 1.5
"""If an instance certainly got more than so many times a limit, it is not enforced. In between it is a burst: QEMU lets
a disk write ahead."""


class _Kind(NamedTuple):
    """A cost from which the share of a limit follows that an instance got."""

    scenario: str
    metric: str
    words: str
    """The limit, of so much."""
    share: Callable[[float, int], float]
    """The share, from the cost and the limit."""
    beside: tuple[tuple[str, str], ...] = ()
    """Metrics of the same limit that are shown beneath it, and what each is called."""


def _of_time(cost: float, percent: int) -> float:
    return cost / (percent / 100)


def _of_memory(cost: float, mebibytes: int) -> float:
    return cost / (mebibytes << 20)


def _of_rate(cost: float, mebibytes: int) -> float:
    """The cost is the seconds of one MiB, or of one operation."""
    return 1 / (cost * mebibytes)


_HELD_BACK = (("stall", "longest stall"), ("work", "fixed work"))
_KINDS = (
    _Kind("limit-cpu", "had", "{} % of a CPU", _of_time, _HELD_BACK),
    _Kind("limit-memory", "had", "{} MiB of memory", _of_memory, (("end", "from its last page to its end"),)),
    _Kind("limit-disk", "direct", "writing {} MiB/s past the page cache", _of_rate),
    _Kind("limit-disk", "fsync", "writing {} MiB/s by fsync", _of_rate),
    _Kind("limit-disk", "syncfs", "writing {} MiB/s by the kernel's threads", _of_rate),
    _Kind("limit-disk", "read-direct", "reading {} MiB/s past the page cache", _of_rate),
    _Kind("limit-disk", "read-buffered", "reading {} MiB/s through the page cache", _of_rate),
    _Kind("limit-network", "received", "{} MiB/s from the host", _of_rate),
    _Kind("limit-operations", "direct", "{} writes a second", _of_rate),
    _Kind("limit-operations", "read-direct", "{} reads a second", _of_rate),
)
_WEIGHT = _Kind("cpu-weight", "had", "twice the CPU time of a competitor", _of_time)
"""Its share comes from two metrics: what the heavier and what the lighter of two competitors got."""
_COUNTS = {"limit-processes": "processes", "limit-files": "open files"}
_CAPTIONS = {
    "limit-cpu": "CPU time used, as a share of the quota [95 %]. On a busy host an instance gets less than its quota, "
    "and more than one CPU only if so many are free. Beneath it: the longest time without any CPU, and the time that a "
    "fixed piece of work takes with this quota (without one: limit-cpu.work).",
    "cpu-weight": "CPU time of the heavier of two competitors with weights of 1 and 2, as a share of twice the "
    "lighter's [95 %].",
    "limit-memory": "Anonymous memory that one program could use until the kernel stopped it, as a share of the limit. "
    "The limit of a guest is its memory, part of which its kernel needs.",
    "limit-disk": "Bytes per second written to the disk or read from it, as a share of the limit.",
    "limit-network": "Bytes per second received from the host over TCP, as a share of the limit; that counts headers, "
    "too.",
    "limit-operations": "Writes and reads of 4 KiB per second past the page cache, as a share of the limit.",
}


class _Had(NamedTuple):
    """The share of one limit in one environment."""

    kind: _Kind
    environment: str
    limit: int
    share: float
    low: float
    high: float

    @property
    def outcome(self) -> str:
        """kept, less, more, none, or empty if the interval does not tell; it needs six blocks."""
        if self.kind is _WEIGHT and self.high < 1 / NONE:  # the lighter one had nearly as much
            return "none"
        if self.low > 1 + MARGIN:
            return "none" if self.low > NONE else "more"
        if self.high < 1 - MARGIN:
            return "less"
        return "kept" if self.low >= 1 - MARGIN and self.high <= 1 + MARGIN else ""

    @property
    def words(self) -> str:
        return self.kind.words.format(self.limit)


def build(context: Context) -> list[Block]:
    had = _all(context)
    counts = _counts(context)
    ends = _ends(context)
    monitoring = whole_scenario(context, "monitoring")
    if not any((had, counts, ends, monitoring)):
        return []
    scenarios = list(dict.fromkeys(one.kind.scenario for one in had))
    tables = [
        _table(context, scenario, [one for one in had if one.kind.scenario == scenario]) for scenario in scenarios
    ]
    folds = [block for scenario in scenarios for block in scenario_details(context, scenario)]
    return [*_sentences(context, had), *_not_enforced(context, had), *tables, *ends, *counts, *folds, *monitoring]


def _all(context: Context) -> list[_Had]:
    """Every limit in every environment, by kind."""
    return [*_had(context, _KINDS[0]), *_weighed(context), *(one for kind in _KINDS[1:] for one in _had(context, kind))]


def sentence(context: Context, names: Sequence[str]) -> str:
    """A sentence about the limits of the first of these environments for which that is known; empty if there is
    none."""
    had = _all(context)
    said = (_said([one for one in had if one.environment == name]) for name in names)
    return next((f"{name}: {words}" for name, words in zip(names, said, strict=True) if words), "")


def _had(context: Context, kind: _Kind) -> list[_Had]:
    """Every limit of this kind in every environment, in the order of the record."""
    found = []
    for metric in context.metrics_of(kind.scenario):
        match = re.fullmatch(rf"{kind.metric}-([1-9]\d{{0,8}})", metric)
        for row in context.select(kind.scenario, metric) if match else ():
            limit = int(match[1]) if match else 0
            values = context.values(kind.scenario, metric, row.environment)[1]
            shares = [kind.share(value, limit) for value in values if value > 0]
            found += _centre(context, kind, row.environment, limit, shares)
    return found


def _weighed(context: Context) -> list[_Had]:
    """What the heavier of two competitors had of its share, block by block."""
    found = []
    for row in context.select(_WEIGHT.scenario, "had-2"):
        heavy, light = (
            dict(zip(*context.values(_WEIGHT.scenario, metric, row.environment), strict=True))
            for metric in ("had-2", "had-1")
        )
        shares = [heavy[block] / light[block] / 2 for block in heavy if light.get(block, 0.0) > 0 < heavy[block]]
        found += _centre(context, _WEIGHT, row.environment, 2, shares)
    return found


def _centre(context: Context, kind: _Kind, environment: str, limit: int, shares: Sequence[float]) -> list[_Had]:
    """The centre over the blocks with its interval; empty without blocks."""
    logs = [math.log(share) for share in shares if 0 < share < math.inf]
    if not logs:
        return []
    one = centred(logs, context.results.wanders)
    return [_Had(kind, environment, limit, *map(_share, (one.centre, one.low, one.high)))]


def _share(log: float) -> float:
    """Infinite if it overflows, as from a damaged record."""
    return math.exp(log) if not log > 700 else math.inf


def _table(context: Context, scenario: str, had: Sequence[_Had]) -> Block:
    columns = dict.fromkeys(one.words for one in had)
    known = {(one.environment, one.words): one for one in had}
    rows: list[list[Cell | Text]] = []
    for name in context.measured({one.environment for one in had}):
        cells: list[Cell | Text] = [name_cell(context, name)]
        for column in columns:
            one = known.get((name, column))
            cells.append(format.MISSING if one is None else _cell(context, one))
        rows.append(cells)
    return table(_CAPTIONS[scenario], ["environment", *columns], rows)


def _cell(context: Context, one: _Had) -> Text:
    """The share and its interval, with the accompanying metrics beneath."""
    share = Span(format.ratio_interval(one.share, one.low, one.high, MARGIN), "strong")
    rows = [
        (called, context.find(one.kind.scenario, f"{metric}-{one.limit}", one.environment))
        for metric, called in one.kind.beside
    ]
    return (share, *(Span(f"{called} {format.cost(row)}", "small") for called, row in rows if row is not None))


def _sentences(context: Context, had: Sequence[_Had]) -> list[Block]:
    """What each environment does with its limits, one sentence each."""
    said = []
    for name in context.measured({one.environment for one in had}):
        words = _said([one for one in had if one.environment == name])
        if words:
            said.append(f"{format.clean(context.title(name), 60)}: {words}.")
    if not said:
        return [Paragraph("Fewer than six blocks are too few to say whether a limit is enforced.")] if had else []
    return [Items(list["Text"](said))]


def _said(had: Sequence[_Had]) -> str:
    """What an environment does with these limits, in words; empty if there are too few blocks."""
    known = [one for one in had if not math.isnan(one.low)]
    parts = []
    for outcome, verb in _VERBS.items():
        words = [_in_words(one) for one in known if one.outcome == outcome]
        parts += [f"{verb} {format.listing(words, 9)}"] if words else []
    return "; ".join(parts)


_VERBS = {
    "kept": "enforces",
    "less": "gives less than",
    "more": "gives more than",
    "none": "does not enforce",
    "": "inconclusive:",
}


def _in_words(one: _Had) -> str:
    return one.words if one.outcome in ("kept", "") else f"{one.words} ({format.ratio(one.share)})"


def _not_enforced(context: Context, had: Sequence[_Had]) -> list[Block]:
    """Which limits are not enforced, and where."""
    found: dict[str, list[str]] = {}
    for one in had:
        if one.outcome == "none":
            found.setdefault(one.words, []).append(format.clean(one.environment, 40))
    if not found:
        return []
    listed = "; ".join(f"{words} in {format.listing(names)}" for words, names in found.items())
    blocks: list[Block] = [Paragraph((Span("Not enforced: ", "strong"), Span(f"{listed}.")))]
    if any(one.outcome == "none" and one.kind.metric == "syncfs" for one in had):
        blocks.append(
            Paragraph(
                "The kernel's threads write back the page cache. Cgroup version 1 charges that to "
                "no cgroup, so no limit applies; version 2 charges it to the writer's. If fsync is not limited "
                "either, the file system answers it at once (a volatile overlay, as of podman run --rm)."
            )
        )
    return blocks


def _ends(context: Context) -> list[Block]:
    """What happens to a program at its memory limit, and what swap changes."""
    rows: list[list[Cell | Text]] = []
    for record in context.session.environments:
        end, swap = (record.facts.get(f"limit-memory.{key}", "") for key in ("end", "swap"))
        if end:
            rows.append(
                [name_cell(context, record.name), format.clean(end, 60), format.clean(swap, 120) or format.MISSING]
            )
    caption = "What happens to a program that wants more memory than its limit, without and with swap."
    return [table(caption, ["environment", "at the limit", "with swap"], rows, left=3)] if rows else []


def _counts(context: Context) -> list[Block]:
    """How many processes and open files there were, and the error."""
    rows: list[list[Cell | Text]] = []
    for record in context.session.environments:
        for scenario, what in _COUNTS.items():
            facts = {key: record.facts.get(f"{scenario}.{key}", "") for key in ("set", "had", "error")}
            if facts["had"]:
                shown = [format.clean(facts[key], 60) for key in ("set", "had", "error")]
                rows.append([name_cell(context, record.name), what, *shown])
    if not rows:
        return []
    caption = "How many there could be, including existing ones, and the error that the program got."
    return [table(caption, ["environment", "limit of", "set", "reached", "error"], rows, left=2)]


SECTION = Section(82, "limits", "Limits: set and reached", build, "Limits")
