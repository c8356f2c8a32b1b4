"""What a median hides: values in two groups, and a level that drifts during the run. Described in words, never removed.

Two groups: the split of the sorted logarithms that leaves the least variance within (Otsu, IEEE Trans. SMC 9, 1979).
Drift: Kendall's test of the values against their blocks, and the slope of Theil and Sen. They are implemented here,
because importing scipy.stats takes longer than all other computation for a usual report (`distributions`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.estimation.distributions import NORMAL
from isobench.estimation.paired import holm

if TYPE_CHECKING:
    from isobench.estimation.tables import Tables

FEWEST = 12
"""The fewest values from which either can be detected."""
_EXPLAINED = 0.88
"""Share of the variance that a split into two groups has to explain. For normal values it explains 0.64, for uniform
ones 0.75; in simulation 1 in 200 single groups of 20 values exceeds 0.88, and 1 in 10 000 of 50 values."""
_LEAST_SHARE = 0.2
_LEAST_APART = math.log(1.05)
"""Groups closer than 5 % are not worth mentioning."""
_SIGNIFICANCE = 0.01
_MOST = 500
"""The most values whose slopes are computed: 125 000 pairs."""


class Oddity(NamedTuple):
    """One series that is not a level with noise; `text` says what it is instead."""

    scenario: str
    metric: str
    environment: str
    text: str


class Groups(NamedTuple):
    """Two groups of values: the level of each (the values' unit), and the share of values in the upper one."""

    lower: float
    upper: float
    share: float


def oddities(tables: Tables) -> list[Oddity]:
    """Every series of a run that is bimodal or drifts; drift after Holm over all series."""
    series = [
        ((*benchmark, name), one.blocks, one.values)
        for benchmark, row in tables.items()
        for name, one in row.items()
        if len(one.values) >= FEWEST and one.values.min() > 0
    ]
    adjusted = holm(np.array([kendall(blocks, values) for _, blocks, values in series]))
    found = []
    for ((scenario, metric, environment), blocks, values), p in zip(series, adjusted, strict=True):
        both = two_groups(values)
        if both is not None:
            times = f"{both.upper / both.lower:.3g} times as high"
            text = f"two groups: {1 - both.share:.0%} around the lower level, {both.share:.0%} {times}"
            found.append(Oddity(scenario, metric, environment, text))
        if p < _SIGNIFICANCE and abs(math.log(moved := drift(blocks, values))) > _LEAST_APART:
            text = f"it drifted: from the first block to the last by {moved - 1:+.0%}"
            found.append(Oddity(scenario, metric, environment, text))
    return found


def two_groups(values: np.ndarray) -> Groups | None:
    """The two groups of positive values, or None if they form one."""
    logs = np.sort(np.log(values))
    n = len(logs)
    total = float(np.sum((logs - logs.mean()) ** 2))
    if n < FEWEST or total == 0:
        return None
    counts = np.arange(1, n)
    sums = np.cumsum(logs - logs.mean())[:-1]
    between = sums**2 * n / (counts * (n - counts))
    at = int(np.argmax(between)) + 1
    lower, upper = float(np.median(logs[:at])), float(np.median(logs[at:]))
    share = (n - at) / n
    if between[at - 1] / total < _EXPLAINED or not _LEAST_SHARE <= share <= 1 - _LEAST_SHARE:
        return None
    return Groups(math.exp(lower), math.exp(upper), share) if upper - lower > _LEAST_APART else None


def drift(blocks: np.ndarray, values: np.ndarray) -> float:
    """The level at the last block to that at the first, by the median of all slopes of the logarithms.

    There are as many slopes as pairs, so a long series is thinned evenly.
    """
    blocks, logs = _thinned(blocks, np.log(values))
    first, second = np.triu_indices(len(blocks), 1)
    apart = blocks[second] - blocks[first]
    slopes = (logs[second] - logs[first])[apart > 0] / apart[apart > 0]
    return math.exp(float(np.median(slopes)) * float(blocks[-1] - blocks[0])) if len(slopes) else 1.0


def kendall(blocks: np.ndarray, values: np.ndarray) -> float:
    """p of Kendall's test that values neither rise nor fall with their blocks, which are distinct; corrected for ties,
    by the normal approximation (Kendall, Rank Correlation Methods, 1970, chapter 4). A long series is thinned, as
    above."""
    _, values = _thinned(blocks, np.asarray(values, dtype=float))
    n = len(values)
    first, second = np.triu_indices(n, 1)
    score = float(np.sign(values[second] - values[first]).sum())
    ties = np.unique(values, return_counts=True)[1].astype(float)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 1.0
    return min(1.0, 2 * NORMAL.cdf(-max(abs(score) - 1, 0) / math.sqrt(variance)))


def _thinned(blocks: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, -(-len(values) // _MOST))
    return blocks[::step], values[::step]
