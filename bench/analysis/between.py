"""How far a cost lies apart in two sets of runs. The unit of replication is the run.

Blocks of one run share its daemons, its memory layout, its place in the day: a run as a whole is moved by that, and no
number of blocks shows by how much. Where a side has several runs, their spread says it, held against the usual spread
of all costs (a few runs alone know their own badly). Where each side has one, a floor stands in for it: VALIDITY.md has
what real runs, back to back, differ by.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from bench.analysis.paired import FEWEST_PAIRS, SIGNIFICANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.analysis.verdicts import Ratio

BETWEEN_RUNS = 0.03
"""Standard deviation (of logarithms) by which a run as a whole is taken to be moved, where nothing measured it: a
restart of the same measurement moves the start of a process by up to 4 %."""
_FLOOR_FREEDOM = 30.0
_USUAL_FREEDOM = 4
"""How many degrees of freedom the usual spread counts for, beside those of the cost's own runs."""
_MANY = 10
"""Costs from which there is a usual spread."""


class Level(NamedTuple):
    """One cost in one run: the logarithm of its centre, its standard error, and the blocks behind it."""

    centre: float
    error: float
    effective: float


class Shift(NamedTuple):
    """How much farther B lies than A, as a logarithm, with its standard error and Student's degrees of freedom."""

    centre: float
    error: float
    freedom: float


def level(one: Ratio) -> Level | None:
    """What one run says; nothing from fewer than six pairs."""
    if one.found.n < FEWEST_PAIRS:
        return None
    freedom = max(one.reach.effective - 1, 1.0)
    half = (one.reach.down + one.reach.up) / 2
    return Level(one.found.centre, half / -float(special.stdtrit(freedom, SIGNIFICANCE / 2)), one.reach.effective)


def usual_variance(costs: Sequence[tuple[Sequence[Level], Sequence[Level]]]) -> float | None:
    """The middle variance between the runs of one side, over all costs; None for few costs, or one run on each side."""
    known = [(_variance(a, b), len(a) + len(b) - 2) for a, b in costs if len(a) + len(b) > 2]
    if len(known) < _MANY:
        return None
    freedom = float(np.median([d for _, d in known]))
    of_chi = freedom / (2 * float(special.gammaincinv(freedom / 2, 0.5)))  # a median of variances is too low by this
    return float(np.median([variance for variance, _ in known])) * of_chi


def shift(a: Sequence[Level], b: Sequence[Level], usual: float | None = None) -> Shift:
    """How far B lies from A. Neither may be empty; `usual` is `usual_variance` of all costs."""
    centre = float(np.mean([one.centre for one in b]) - np.mean([one.centre for one in a]))
    within = float(np.mean([one.error**2 for one in (*a, *b)]))
    freedom = len(a) + len(b) - 2
    if freedom:
        prior = BETWEEN_RUNS**2 + within if usual is None else usual
        total = _USUAL_FREEDOM + freedom
        variance = max((_USUAL_FREEDOM * prior + freedom * _variance(a, b)) / total, within)
        return Shift(centre, math.sqrt(variance * (1 / len(a) + 1 / len(b))), total)
    parts = [(one.error**2, max(one.effective - 1, 1.0)) for one in (*a, *b)]
    parts.append((2 * BETWEEN_RUNS**2, _FLOOR_FREEDOM))
    variance = sum(part for part, _ in parts)
    return Shift(centre, math.sqrt(variance), variance**2 / sum(part**2 / of for part, of in parts))


def bounds(found: Shift, outside: float = SIGNIFICANCE) -> tuple[float, float]:
    """The interval that leaves out the truth with this probability."""
    reach = -float(special.stdtrit(found.freedom, outside / 2)) * found.error
    return found.centre - reach, found.centre + reach


def p_beyond(found: Shift, edge: float) -> float:
    """The level at which that interval touches `edge`, on the side of its centre; 1 where the centre is nearer."""
    distance = abs(found.centre) - edge
    if distance <= 0:
        return 1.0
    return 2 * float(special.stdtr(found.freedom, -distance / found.error)) if found.error else 0.0


def _variance(a: Sequence[Level], b: Sequence[Level]) -> float:
    """Of the runs about the mean of their own side."""
    squares = [float(np.sum((centres - centres.mean()) ** 2))
               for centres in (np.array([one.centre for one in side]) for side in (a, b))]  # fmt: skip
    return sum(squares) / (len(a) + len(b) - 2)
