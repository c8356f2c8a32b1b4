"""Steps in one series: exact ranks, one walk that takes nothing back, disturbances, returns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from isobench.nights.ranks import AFTER, BEFORE, NORMAL, deviates, scan
from isobench.nights.steps import Level, steps
from verification.validity.noise import noise


@pytest.mark.parametrize(("before", "after"), [(3, 3), (8, 5), (20, 4), (12, 10), (60, 3)])
def test_the_null_distribution_is_the_exact_one(before: int, after: int) -> None:
    """Against scipy's exact Mann-Whitney, for the most extreme order and for one a few exchanges from it."""
    new, old = np.arange(after) + 1000.0, np.arange(before) + 0.0
    for contradicting in (0, 2):
        new[0] = before - contradicting - 0.5 if contradicting else 1000.0
        p = stats.mannwhitneyu(new, old, alternative="greater", method="exact").pvalue
        assert deviates(before, after)[contradicting] == pytest.approx(-NORMAL.inv_cdf(p), abs=1e-9)


def test_a_scan_is_what_counting_pairs_gives() -> None:
    """Ties count half; what has too few nights is 0."""
    row = np.round(np.random.default_rng(3).normal(0, 1, 50), 1)
    found = scan(row[None, :])
    m, k, last = BEFORE.index(12), AFTER.index(5), 40
    new, old = row[last - 4 : last + 1], row[last - 16 : last - 4]
    balance = int(np.sign(new[:, None] - old[None, :]).sum())
    expected = math.copysign(1, balance) * deviates(12, 5)[(60 - abs(balance) + 1) // 2]
    assert found[m, k, 0, last] == pytest.approx(expected, abs=1e-5)
    assert not found[m, k, 0, :16].any()


def _step(seed: int, nights: int = 90, at: int = 60, size: float = 1.1) -> np.ndarray:
    row = np.random.default_rng(seed).normal(0, 0.02, nights)
    row[at:] += math.log(size)
    return row


@pytest.mark.parametrize("seed", range(6))
def test_no_later_night_takes_back_or_moves_what_was_told(seed: int) -> None:
    """Asked every night, each change appears once, on its confirming night, and stays as it is."""
    row = np.concatenate([_step(seed), _step(seed + 50, 60, 20, 0.9) + 0.1])
    told: list[Level] = []
    for night in range(1, len(row) + 1):
        found = steps([row[:night]])[0]
        assert found[: len(told)] == told
        assert all(level.confirmed == night - 1 for level in found[len(told) :])
        told = found
    assert told == steps([row])[0] and told


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("height", [0.15, 0.7, 3.0])
def test_two_disturbed_nights_are_no_level_on_any_night(seed: int, height: float) -> None:
    row = np.random.default_rng(seed).normal(0, 0.02, 60)
    row[45:47] += height
    assert all(not (40 <= level.at <= 50) for level in steps([row])[0])


@pytest.mark.parametrize("seed", range(6))
def test_a_return_is_dated_to_its_first_night(seed: int) -> None:
    row = _step(seed, 100, 40, 1.2)
    row[60:] -= math.log(1.2)
    up, back = steps([row])[0][:2]
    assert (up.back, back.back) == (False, True)
    assert abs(up.at - 40) <= 1 and abs(back.at - 60) <= 1
    assert back.confirmed - 60 <= 6


def test_a_constant_series_has_no_step_and_a_new_constant_is_one() -> None:
    """Memory to the byte: nothing at first, then three per cent more for good."""
    quiet = np.zeros(60)
    assert steps([quiet])[0] == []
    quiet[40:] = 0.03
    (level,) = steps([quiet])[0]
    assert level.at == 40


def test_steps_of_all_series_at_once_are_told() -> None:
    """What moves a whole host does not pass for the noise of its family."""
    rows = [_step(seed, 80, 60, 1.1) for seed in range(60)]
    assert sum(bool(levels) for levels in steps(rows)) >= 58


def test_series_of_other_lengths_do_not_matter_to_each_other() -> None:
    """A family may have gaps: every series gets an answer in its own place."""
    rows = [noise("normal", 20 + 7 * n, 0.02, np.random.default_rng(n)) for n in range(8)]
    rows[5] = _step(1)
    assert [bool(levels) for levels in steps(rows)] == [n == 5 for n in range(8)]


def test_a_long_quiet_history_gathers_no_false_steps() -> None:
    """Of one series alone: fewer than one in three of 325 nights has told any, where it was every second one."""
    rows = [noise("normal", 325, 0.02, np.random.default_rng([6, n])) for n in range(30)]
    assert sum(bool(steps([row])[0]) for row in rows) < 10


def test_nights_that_cannot_be_used_bring_no_false_ones() -> None:
    """At most one false night in a hundred where every seventh is missing, as where all are there: in families of
    sixty ratios to one baseline, whose noise they share."""
    false = nights = 0
    for seed in range(12):
        random = np.random.default_rng([7, seed])
        rows = random.normal(0, 0.012, (60, 100)) - random.normal(0, 0.01, 100)
        kept = np.delete(rows, np.arange(2, 100, 7), axis=1)
        false += len({level.confirmed for levels in steps(list(kept)) for level in levels})
        nights += kept.shape[1]
    assert false <= nights / 100


def test_a_step_that_was_not_certain_at_once_is_told_in_hindsight() -> None:
    """Ten nights and then fifty, four standard deviations higher, of a cost that is watched alone: what follows is not
    taken for a level that wanders (two of three such steps were found)."""
    found = 0
    for seed in range(60):
        row = noise("normal", 61, 0.02, np.random.default_rng([5, seed])) + 0.08 * (np.arange(61) >= 10)
        found += any(abs(level.at - 10) <= 5 for level in steps([row])[0])
    assert found >= 51


@pytest.mark.parametrize("wild", [-0.5, 0.5])
def test_one_wild_night_does_not_hide_the_step_that_follows(wild: float) -> None:
    """It is no noise that has grown: a step of twenty deviations five nights later is found within eight."""
    random = np.random.default_rng(16)
    told = []
    for _ in range(20):
        row = random.normal(0, 0.006, 61)
        row[10] += wild
        row[15:] -= 0.127
        told.append(steps([row])[0])
    assert sum(len(one) == 1 and one[0].at == 15 and one[0].confirmed < 23 for one in told) >= 18
