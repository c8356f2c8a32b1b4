"""What a sentence may claim: every rule for the report's sentences, titles and marks.

A sentence says that an environment differs only if the verdict does, orders two environments only by their own paired
difference, and names one as the extreme only if no other reaches it. VALIDITY.md has the error rate of each rule on
runs without differences, and with known ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from isobench.analysis.verdicts import estimates
from isobench.estimation import paired
from isobench.estimation.paired import FEWEST_PAIRS, holm
from isobench.estimation.shape import kendall
from isobench.layout import format
from isobench.report.caveats import artefact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from isobench.analysis.results import Difference, Estimate
    from isobench.report.context import Context

    ByBlock = Mapping[int, float]
    """Values by block."""

Name = TypeVar("Name", str, "tuple[str, str]")
SIGNIFICANCE = 0.05
ASIDE = "null kernels, emulated or nested guests, or flagged"
"""Describes the environments that no headline names."""
DRIFTED = 0.01
"""Level, for all environments of a title together, at which one counts as having drifted during the run."""


def said(row: Estimate) -> str:
    """A ratio for a sentence: a number if there is a certain difference, otherwise how certain it is.

    An interval within the band that includes 1 is "the same"; one that excludes 1 is given with its number.
    """
    if row.ratio_low != row.ratio_low:
        return f"about {format.ratio(row.ratio)}, too few blocks"
    holds_one = row.ratio_low <= 1 <= row.ratio_high
    if row.verdict == "equivalent":
        return "the same" if holds_one else f"{format.ratio(row.ratio)}, nearly the same"
    if row.verdict == "inconclusive":
        return "no certain difference" if holds_one else f"{format.ratio(row.ratio)}, inconclusive"
    return format.ratio(row.ratio)


def nameable(context: Context, rows: Sequence[Estimate]) -> list[Estimate]:
    """The rows that a headline may name: not those that describe this host (an emulated processor, a nested KVM), not
    null kernels, which can run no program, and no impossible numbers."""
    return [
        row
        for row in rows
        if row.environment == context.baseline
        or (is_choice(context, row.environment) and (row.name, row.environment) not in context.flagged)
    ]


def is_choice(context: Context, environment: str) -> bool:
    """Whether an environment is one that people choose, and its numbers describe it and not this host."""
    record = context.environment(environment)
    return not (record is not None and record.layer == "vmm") and not artefact(context, environment)


def alike(row: Estimate) -> str:
    """The words for a cost that is not higher than the baseline's: "the same" only if its interval includes 1."""
    if row.verdict == "faster":
        return "less"
    return "the same" if row.ratio_low <= 1 <= row.ratio_high else "nearly the same"


def strongest_free(rows: Sequence[Estimate]) -> Estimate | None:
    """The last of these isolations, ordered by strength, that certainly costs at most the band more than the
    baseline."""
    return next((row for row in reversed(rows) if row.verdict in ("equivalent", "faster")), None)


def differing(rows: Sequence[Estimate], baseline: str) -> list[Estimate]:
    """The rows that certainly differ from the baseline, the cheapest first."""
    return sorted(
        (row for row in rows if row.environment != baseline and row.verdict in ("slower", "faster")),
        key=lambda row: row.ratio,
    )


def dearest(rows: Sequence[Estimate]) -> list[Estimate]:
    """The most expensive rows, the highest ratio first: all whose intervals overlap that of the highest, if that is
    certainly above the baseline; else none."""
    found = sorted((row for row in rows if row.verdict == "slower"), key=lambda row: -row.ratio)
    return [row for row in found if row.ratio_high >= found[0].ratio_low]


def apart(
    context: Context, scenario: str, metric: str, one: str, others: Sequence[str], chosen_from: int = 1
) -> dict[str, float]:
    """The ratio to `one` of each of the others that certainly differs: block by block, after Holm's correction for
    their number. Missing ones are left out. `chosen_from` is the number of candidates if `one` was selected by its
    value: the least of equals lies below the others by chance."""
    theirs = {other: _logs(context, scenario, metric, other) for other in others}
    return _apart(context, _logs(context, scenario, metric, one), theirs, chosen_from)


def _apart(context: Context, mine: ByBlock, others: Mapping[str, ByBlock], chosen_from: int) -> dict[str, float]:
    """The same for logarithms by block."""
    gaps = {other: gap for other, theirs in others.items() if len(gap := _gaps(theirs, mine)) >= FEWEST_PAIRS}
    found = dict(zip(gaps, estimates(list(gaps.values()), known=context.results.wanders), strict=True))
    p = holm(np.array([paired.p_beyond(ratio.found, ratio.reach, 0.0) for ratio in found.values()]))
    return {
        other: float(np.exp(ratio.found.centre))
        for (other, ratio), adjusted in zip(found.items(), p, strict=True)
        if adjusted * chosen_from < SIGNIFICANCE
    }


def foremost(context: Context, series: Mapping[Name, ByBlock]) -> Name | None:
    """The largest of several costs: certainly above every other, block by block. Among equals, hardly one is above all
    others by chance, however many there are. None if another reaches it, or shares fewer than six blocks with it."""
    medians = {name: paired.median(list(values.values())) for name, values in series.items() if values}
    if not medians:
        return None
    first = max(medians, key=lambda name: medians[name])
    gaps = [_gaps(series[first], series[name]) for name in medians if name != first]
    if any(len(gap) < FEWEST_PAIRS for gap in gaps):
        return None
    found = estimates(gaps, known=context.results.wanders)
    doubts = [paired.p_beyond(one.found, one.reach, 0.0) if one.found.centre > 0 else 1.0 for one in found]
    return first if max(doubts, default=0.0) < SIGNIFICANCE else None


def farthest(context: Context, series: Mapping[str, ByBlock]) -> tuple[str, str, float] | None:
    """The least and the largest of several costs, given as logarithms by block, and the ratio between them, if they
    certainly differ block by block, corrected for their selection. None otherwise."""
    medians = {name: paired.median(list(values.values())) for name, values in series.items() if values}
    if len(medians) < 2:
        return None
    least, largest = (choose(medians, key=lambda name: medians[name]) for choose in (min, max))
    pairs = len(medians) * (len(medians) - 1) // 2
    ratio = _apart(context, series[least], {largest: series[largest]}, pairs).get(largest, 0.0)
    return (least, largest, ratio) if ratio > 1 else None


def _gaps(mine: ByBlock, theirs: ByBlock) -> np.ndarray:
    """The differences in the blocks that both have."""
    return np.array([mine[block] - theirs[block] for block in sorted(mine.keys() & theirs.keys())])


def cheapest(context: Context, rows: Sequence[Estimate]) -> set[str]:
    """The cheapest isolation that may be named, and all that cannot be distinguished from it, or cost less; empty if
    there is no choice, or too few blocks."""
    others = [row for row in rows if row.environment != context.baseline and row.ratio_high == row.ratio_high]
    choices = nameable(context, others)
    if len(others) < 2 or not choices:
        return set()
    least = min(choices, key=lambda row: row.ratio)
    names = [row.environment for row in others if row is not least]
    dearer = {name for name, ratio in apart(context, least.scenario, least.metric, least.environment, names,
                                          len(choices)).items() if ratio > 1}  # fmt: skip
    found = {row.environment for row in choices} - dearer
    return found if dearer else set()


def outstanding(steps: Sequence[Difference]) -> Difference | None:
    """The step that costs the most, if it certainly costs something and no other reaches it."""
    found = sorted((step for step in steps if step.low > 0), key=lambda step: -step.value)
    if not found or any(other.high >= found[0].low for other in steps if other is not found[0]):
        return None
    return found[0]


def drifting(series: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> tuple[str, float] | None:
    """The environment that drifted most, of those that certainly did (Kendall's test after Holm's correction), and the
    ratio of the second half of the run to the first."""
    long = {name: (np.array(blocks), np.array(values)) for name, (blocks, values) in series.items()
            if len(values) >= FEWEST_PAIRS}  # fmt: skip
    p = holm(np.array([kendall(*one) for one in long.values()]))
    moved = {}
    for (name, (_, values)), adjusted in zip(long.items(), p, strict=True):
        half = len(values) // 2
        before = float(np.median(values[:half]))
        if adjusted < DRIFTED and before > 0:
            moved[name] = float(np.median(values[half:])) / before
    return max(moved.items(), key=lambda one: abs(np.log(max(one[1], 1e-300)))) if moved else None


def _logs(context: Context, scenario: str, metric: str, environment: str) -> dict[int, float]:
    blocks, values = context.values(scenario, metric, environment)
    if not values or min(values) <= 0:
        return {}
    return dict(zip(blocks, np.log(values).tolist(), strict=True))
