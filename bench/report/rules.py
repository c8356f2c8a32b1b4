"""What a sentence may claim: every rule by which the report's sentences, titles and marks are made, in one list.

A sentence names who differs only where the verdict says so, orders two environments only by their own paired
difference, and names one as the extreme only where no other reaches it. VALIDITY.md has how often each rule errs on
runs in which nothing differs, or everything by a known amount.
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
"""What those are that no headline names, in words."""
DRIFTED = 0.01
"""Level, for all environments of a title together, at which one is said to have moved during the run."""


def said(row: Estimate) -> str:
    """A ratio for a sentence: a number only where a difference is seen, and how sure it is where it is not.

    "the same" is said of an interval within the band that holds 1; one beside 1 is told with its number.
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
    """Whose numbers may stand in a headline: not those that tell of this host (an emulated processor, a nested KVM),
    not a null kernel's, which can run no program, and none that cannot be what it seems."""
    return [
        row
        for row in rows
        if row.environment == context.baseline
        or (is_choice(context, row.environment) and (row.name, row.environment) not in context.flagged)
    ]


def is_choice(context: Context, environment: str) -> bool:
    """Whether an environment is one that people choose, and its numbers tell of it and not of this host."""
    record = context.environment(environment)
    return not (record is not None and record.layer == "vmm") and not artefact(context, environment)


def alike(row: Estimate) -> str:
    """How what costs no more than the baseline is told: "the same" only where its interval holds 1."""
    if row.verdict == "faster":
        return "less"
    return "the same" if row.ratio_low <= 1 <= row.ratio_high else "nearly the same"


def strongest_free(rows: Sequence[Estimate]) -> Estimate | None:
    """Of isolations that keep more and more apart, the last that certainly costs no more than the baseline, but for the
    band."""
    return next((row for row in reversed(rows) if row.verdict in ("equivalent", "faster")), None)


def differing(rows: Sequence[Estimate], baseline: str) -> list[Estimate]:
    """Who may be named for a difference from the baseline, the cheapest first."""
    return sorted(
        (row for row in rows if row.environment != baseline and row.verdict in ("slower", "faster")),
        key=lambda row: row.ratio,
    )


def dearest(rows: Sequence[Estimate]) -> list[Estimate]:
    """Who is the dearest, the highest ratio first: all whose interval reaches the highest one's, if that is certainly
    above the baseline; nobody else."""
    found = sorted((row for row in rows if row.verdict == "slower"), key=lambda row: -row.ratio)
    return [row for row in found if row.ratio_high >= found[0].ratio_low]


def apart(
    context: Context, scenario: str, metric: str, one: str, others: Sequence[str], chosen_from: int = 1
) -> dict[str, float]:
    """By which ratio each of the others differs from `one`, for those that certainly do: block by block, after Holm's
    correction for their number. What is missing is not told apart. `chosen_from` is how many could have been `one`,
    where it was chosen for its value: the least of equals lies below the others by luck."""
    theirs = {other: _logs(context, scenario, metric, other) for other in others}
    return _apart(context, _logs(context, scenario, metric, one), theirs, chosen_from)


def _apart(context: Context, mine: ByBlock, others: Mapping[str, ByBlock], chosen_from: int) -> dict[str, float]:
    """The same of logarithms by block."""
    gaps = {other: gap for other, theirs in others.items() if len(gap := _gaps(theirs, mine)) >= FEWEST_PAIRS}
    found = dict(zip(gaps, estimates(list(gaps.values()), known=context.results.wanders), strict=True))
    p = holm(np.array([paired.p_beyond(ratio.found, ratio.reach, 0.0) for ratio in found.values()]))
    return {
        other: float(np.exp(ratio.found.centre))
        for (other, ratio), adjusted in zip(found.items(), p, strict=True)
        if adjusted * chosen_from < SIGNIFICANCE
    }


def foremost(context: Context, series: Mapping[Name, ByBlock]) -> Name | None:
    """Which of several costs is the largest: block by block above every other, for certain; of equals hardly one can be
    above all others by luck, however many there are. None where another reaches it, or shares fewer than six blocks
    with it."""
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
    """The least and the largest of several costs and the ratio between them, given as logarithms by block: block by
    block certainly apart, also if the two were chosen from so many. None where they are not."""
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
    """The cheapest isolation that may be named, and all that are not told apart from it, or cost less; none where
    there is no choice, or too few blocks to make one."""
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
    """Who moved during the run, and by what ratio from the first half to the second: the one that moved farthest of
    those that certainly did, by Kendall's test after Holm."""
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
