"""Neighbours: an instance's cost beside another that takes all that it can get, relative to its cost alone.

Both costs are of the same environment and the same blocks; no ratio involves the baseline. A scenario's name has the
aggressor (scenarios/neighbours.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis.verdicts import verdict
from isobench.layout import format
from isobench.layout.blocks import Cell, Items, Paragraph, Span, table
from isobench.report.context import Section, shade
from isobench.report.sections._shared import name_cell, scenario_details, within_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.layout.blocks import Block, Text
    from isobench.report.context import Context
    from isobench.report.sections._shared import Ratio

_PREFIX, _ALONE, _LIMITED = "neighbour-", "neighbour-none", "-limited"
_ELSEWHERE = {"start": ("startup", "ready"), "syscall": ("syscall", "getppid"), "read": ("io", "randread-4k")}
"""Victim -> scenario and metric of the same operation without neighbours."""


class _Lost(NamedTuple):
    """One cost beside one aggressor in one environment."""

    environment: str
    aggressor: str
    is_limited: bool
    victim: str
    ratio: Ratio

    @property
    def outcome(self) -> str:
        """The verdict as for any ratio; empty if there are too few blocks."""
        low, high = self.ratio.low, self.ratio.high
        return "" if math.isnan(low) else verdict(self.ratio.value, low, high)


def build(context: Context) -> list[Block]:
    scenarios = [one.name for one in context.session.scenarios if one.name.startswith(_PREFIX)]
    lost = _all(context)
    tables = [_matrix(context, name, lost) for name in _environments(context, lost)]
    folds = [block for scenario in scenarios for block in scenario_details(context, scenario)]
    return [*_sentences(context, lost), *tables, *_alone(context), *folds]


def sentence(context: Context, names: Sequence[str]) -> str:
    """A sentence about the first of these environments for which the loss is known; empty if there is none."""
    lost = _all(context)
    said = (_said([one for one in lost if one.environment == name]) for name in names)
    return next((f"{name}: {words}" for name, words in zip(names, said, strict=True) if words), "")


def _all(context: Context) -> list[_Lost]:
    """Every cost beside every aggressor, in the order of the record."""
    found = []
    for scenario in (one.name for one in context.session.scenarios if one.name.startswith(_PREFIX)):
        aggressor = scenario.removeprefix(_PREFIX).removesuffix(_LIMITED)
        for metric in context.metrics_of(scenario) if scenario != _ALONE else ():
            for row in context.select(scenario, metric):
                ratio = within_blocks(context, metric, scenario, _ALONE, row.environment)
                if ratio is not None:
                    found.append(_Lost(row.environment, aggressor, scenario.endswith(_LIMITED), metric, ratio))
    return found


def _environments(context: Context, lost: Sequence[_Lost]) -> list[str]:
    return context.measured({one.environment for one in lost})


def _sentences(context: Context, lost: Sequence[_Lost]) -> list[Block]:
    """What each environment loses, one sentence each, and how certain that is."""
    said = []
    for name in _environments(context, lost):
        words = _said([one for one in lost if one.environment == name])
        if words:
            said.append(f"{format.clean(context.title(name), 60)}: {words}.")
    if not said:
        return [Paragraph("Fewer than six blocks: the effect of a neighbour cannot be determined.")] if lost else []
    note = (
        "Slowed means that the whole 95 % interval lies above 1.05 times the cost alone. Each is judged by itself: "
        "among forty unaffected costs, one may count as slowed by chance."
    )
    return [Items(list["Text"](said)), Paragraph(Span(note, "small"))]


def _said(lost: Sequence[_Lost]) -> str:
    """How many costs are slowed, without and with limits; empty if there are too few blocks."""
    parts = []
    for is_limited, words in ((False, "beside aggressors"), (True, "beside aggressors with limits")):
        known = [one for one in lost if one.is_limited == is_limited and one.outcome]
        slowed = [one for one in known if one.outcome == "slower"]
        if not known:
            continue
        most = max(slowed, key=lambda one: one.ratio.value, default=None)
        worst = f", most of all {most.victim} beside {most.aggressor} ({most.ratio.words})" if most else ""
        parts.append(f"{len(slowed)} of {len(known)} costs are slowed {words}{worst}")
    return "; ".join(parts)


def _matrix(context: Context, name: str, lost: Sequence[_Lost]) -> Block:
    """One environment: a row for each aggressor, a column for each victim."""
    known = {(one.aggressor, one.victim, one.is_limited): one for one in lost if one.environment == name}
    victims = [metric for metric in context.metrics_of(_ALONE) if any(one == metric for _, one, _ in known)]
    rows: list[list[Cell | Text]] = []
    for aggressor in dict.fromkeys(one for one, *_ in known):
        pairs = [(known.get((aggressor, victim, False)), known.get((aggressor, victim, True))) for victim in victims]
        rows.append([_aggressor(context, aggressor), *(_cell(*pair) for pair in pairs)])
    title = format.clean(context.title(name), 60)
    caption = (
        f"{title}: each victim's cost beside each aggressor, relative to its cost alone, compared within blocks "
        "[95 %]; beneath it, with limits on the aggressor."
    )
    return table(caption, ["aggressor", *victims], rows)


def _alone(context: Context) -> list[Block]:
    """Each victim alone against the same operation in another scenario of the run, block by block."""
    found = {
        (record.name, victim): ratio
        for record in context.session.environments
        for victim, (scenario, metric) in _ELSEWHERE.items()
        if (ratio := within_blocks(context, victim, _ALONE, scenario, record.name, than=metric)) is not None
    }
    if not found:
        return []
    victims = [victim for victim in _ELSEWHERE if any(one == victim for _, one in found)]
    rows: list[list[Cell | Text]] = []
    for name in context.measured({one for one, _ in found}):
        ratios = [found.get((name, victim)) for victim in victims]
        rows.append([name_cell(context, name), *(ratio.words if ratio else format.MISSING for ratio in ratios)])
    others = format.listing([".".join(_ELSEWHERE[victim]) for victim in victims])
    caption = (
        f"Victims alone: each cost relative to that of the same operation in another scenario ({others}), compared "
        "within blocks [95 %]. It should be about 1. A system call is a mean here and a median there, and the file "
        "that is read is half as large here."
    )
    return [table(caption, ["environment", *victims], rows)]


def _cell(free: _Lost | None, limited: _Lost | None) -> Cell | Text:
    if free is None and limited is None:
        return format.MISSING
    words = (
        Span(free.ratio.words if free else format.MISSING, "strong"),
        *([Span(f"limited {limited.ratio.words}", "small")] if limited else []),
    )
    return Cell(words, shade(free.ratio.low) if free else 0)


def _aggressor(context: Context, name: str) -> Text:
    """Its name, what it does, and which neighbour it is in Matthews et al. (2007)."""
    scenarios = (f"{_PREFIX}{name}", f"{_PREFIX}{name}{_LIMITED}")
    facts = [record.facts.get(f"{one}.matthews", "") for record in context.session.environments for one in scenarios]
    titles = [record.title for record in context.session.scenarios if record.name in scenarios]
    does, matthews = (next(filter(None, words), "") for words in (titles, facts))
    small = (does, f"Matthews et al.: {matthews}" if matthews else "")
    return (Span(format.clean(name, 30), "strong"), *(Span(format.clean(one, 100), "small") for one in small if one))


SECTION = Section(84, "neighbours", "Neighbours: what an instance loses beside an aggressor", build, "Neighbours")
