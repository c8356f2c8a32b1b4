"""How much blocks resemble each other: seen in one series, in many, in a family; costing nothing where they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isobench.estimation import autocorrelation, paired
from isobench.estimation.paired import interval


def test_correlation_is_found_where_it_is_and_costs_nothing_elsewhere() -> None:
    """White noise keeps its width in nine of ten series; AR(1) 0.7 is seen by itself at forty blocks."""
    random = np.random.default_rng(5)
    white = [autocorrelation.correlations([random.normal(0, 1, 20)])[0].likely for _ in range(400)]
    assert np.mean(np.array(white) > 0) < 0.2
    found = []
    for _ in range(100):
        series = random.normal(0, 1, 40)
        for place in range(1, 40):
            series[place] += 0.7 * series[place - 1]
        found.append(autocorrelation.correlations([series])[0].likely)
    assert np.median(found) == pytest.approx(0.7, abs=0.1) and np.mean(np.array(found) > 0) > 0.95


def test_effective_blocks() -> None:
    """AR(1) 0.5 leaves a third of the blocks; the interval grows at least as the root of that."""
    assert autocorrelation.effective(30, 0.5) == pytest.approx(10) and autocorrelation.effective(30, -0.4) == 30
    found = interval(np.random.default_rng(6).normal(0, 1, 30))
    wide = paired.widened(found, 10)
    assert (wide.high - wide.low) / (found.high - found.low) > math.sqrt(3)
    assert paired.widened(found, 30) == found


def _family(random: np.random.Generator, blocks: int, memory: float, shared: float = 0.0) -> list[np.ndarray]:
    """Forty series of blocks that remember this share of the last one; of each this share is the same in all."""
    rows = random.normal(0, 1, (41, blocks + 30))
    for block in range(1, blocks + 30):
        rows[:, block] += memory * rows[:, block - 1]
    rows = rows[:, 30:]
    return [np.sqrt(1 - shared) * row + np.sqrt(shared) * rows[-1] for row in rows[:-1]]


def test_six_blocks_of_many_costs_know_that_they_resemble_each_other() -> None:
    """Where forty costs say so together, in most runs; hardly ever where blocks are independent, also where the
    costs have a part in common."""
    random = np.random.default_rng(11)

    def share(memory: float, shared: float) -> float:
        runs = [autocorrelation.correlations(_family(random, 6, memory, shared)) for _ in range(200)]
        return float(np.mean([min(one.likely for one in run) > 0 for run in runs]))

    assert share(0.5, 0.0) > 0.9
    assert all(share(0.0, shared) < 0.1 for shared in (0.0, 0.3))


@pytest.mark.parametrize(("shared", "least", "most"), [(0.0, 25, 40.01), (0.5, 3, 6), (0.99, 1, 1.3)])
def test_series_that_are_alike_count_once(shared: float, least: float, most: float) -> None:
    """Forty series of twenty blocks that have nothing, half, or all in common."""
    random = np.random.default_rng(12)
    found = [
        autocorrelation._independent([autocorrelation._cut(one) for one in _family(random, 20, 0.0, shared)])
        for _ in range(50)
    ]
    assert least < np.median(found) < most


def test_many_costs_that_resemble_each_other_a_little_are_not_widened_as_if_much() -> None:
    """Forty costs of six blocks that correlate by 0.3 bound together how far the truth can be: not as far as 0.9 asks
    (a quick run under a little load could not tell 800 times from nothing). One by itself cannot bound it."""
    random = np.random.default_rng(13)
    runs = [autocorrelation.correlations(_family(random, 6, 0.3)) for _ in range(100)]
    bounds = [min(one.at_most for one in run) for run in runs if min(one.likely for one in run) > 0]
    assert len(bounds) > 50 and np.median(bounds) < 0.7
    series = random.normal(0, 0.1, 6)
    assert paired.most(series, 0.0, 0.5) < 0.6 * paired.most(series, 0.0, 0.9)
    (alone,) = autocorrelation.correlations([np.array([0.0, 0.01, 0.0, 0.3, 0.31, 0.3])])
    assert alone.likely > 0 and alone.at_most > 0.9


def _beneath_noise(random: np.random.Generator, series: int, blocks: int) -> list[np.ndarray]:
    """Levels that wander by half a deviation a block, beneath noise."""
    walks = np.cumsum(random.normal(0, 0.5, (series, blocks)), axis=1)
    return list(walks + random.normal(0, 1, (series, blocks)))


def test_one_environment_that_wanders_among_quiet_ones_is_seen() -> None:
    """Of five environments of eight costs one has blocks that resemble each other; alone each of its costs hardly
    shows it, and the middle of all forty does not. The others lose little."""
    random = np.random.default_rng(14)
    families = [[("environment", place // 8), ("metric", place % 8)] for place in range(40)]
    seen, others = [], []
    for _ in range(40):
        series = _family(random, 20, 0.6)[:8] + _family(random, 20, 0.0)[8:]
        found = autocorrelation.correlations(series, families)
        seen.append(min(one.likely for one in found[:8]) > 0)
        others.append(np.median([one.likely for one in found[8:]]))
    assert np.mean(seen) > 0.9 and np.median(others) < 0.2


def test_a_level_that_wanders_beneath_noise_loses_more_blocks_than_its_neighbours_tell() -> None:
    """Neighbours correlate by a third, and so do blocks far apart: an interval as for 0.3 leaves out the truth."""
    random = np.random.default_rng(15)
    found = [autocorrelation.correlations(_beneath_noise(random, 40, 20))[0].likely for _ in range(40)]
    like = [autocorrelation.correlations(_family(random, 20, 0.5))[0].likely for _ in range(40)]
    assert np.median(found) > 0.7 and np.median(like) == pytest.approx(0.5, abs=0.1)


def test_costs_of_one_value_throughout_do_not_hide_that_the_others_wander() -> None:
    """Half of forty costs are counts that never change."""
    random = np.random.default_rng(16)
    series = _family(random, 12, 0.7)
    alone = autocorrelation.correlations(series[:20])[0].likely
    mixed = autocorrelation.correlations([*series[:20], *([np.zeros(12)] * 25)])
    assert alone > 0 and [one.likely > 0 for one in mixed] == [True] * 45
