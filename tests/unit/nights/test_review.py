"""Steps that were told, held against all the nights since."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isobench.nights.history import History, Night, Point
from isobench.nights.review import LATER, borne_out, dated
from isobench.nights.steps import Level, steps
from isobench.nights.trend import Seen, Trend, evaluate
from tests.unit.analysis.made import night

FALSE = [11, 26]
"""Seed of 200 quiet nights, near the fiftieth of which a step is told."""


def _quiet() -> np.ndarray:
    return np.random.default_rng(FALSE).normal(0, 0.02, 200)


def _trend(logs: np.ndarray, seen: str = "") -> Trend:
    nights = [
        Night(f"h/{i}", "r", "h", night(i), "process", {}, [Point("s", "m", "env", 1.0, math.exp(value))])
        for i, value in enumerate(logs)
    ]
    return evaluate(History(nights, []), {"h": Seen(seen)} if seen else None)


def test_a_step_that_was_chance_is_withdrawn_a_month_later() -> None:
    """It is news on the night that it is told, stays for a month, and is then said not to be borne out: no news."""
    row = _quiet()
    (false,) = steps([row])[0]
    assert [(one.state, one.news) for one in _trend(row[: false.confirmed + 1]).alerts] == [("new", True)]
    assert [one.state for one in _trend(row[: false.at + LATER - 1]).alerts] == ["known"]
    (later,) = _trend(row, seen=night(10)).alerts
    assert (later.state, later.news) == ("withdrawn", False) and later.text.endswith("do not confirm it")


def test_most_false_steps_of_a_long_history_are_withdrawn_and_true_ones_stand() -> None:
    """Sixty quiet histories, and as many that step by 5 % at 3 % noise: what is left of each after a hundred nights."""
    told = kept = true = stand = 0
    for seed in range(60):
        random = np.random.default_rng([12, seed])
        quiet = random.normal(0, 0.03, 250)
        levels = steps([quiet])[0]
        told, kept = told + len(levels), kept + sum(borne_out(quiet, levels))
        stepped = random.normal(0, 0.03, 160) + np.log(1.05) * (np.arange(160) >= 60)
        levels = [level for level in steps([stepped])[0] if abs(level.at - 60) <= 5]
        true += len(levels)
        stand += sum(borne_out(stepped, levels))
    assert told >= 5 and kept <= told / 4
    assert true >= 45 and stand >= 0.95 * true


def test_a_step_that_stands_is_dated_by_all_nights() -> None:
    """Steps of three standard deviations on night 100 of 200: by a hundred nights on either side they are dated nearer
    to their night than by those few that made them certain."""
    told = later = 0
    for seed in range(80):
        row = np.random.default_rng([14, seed]).normal(0, 0.02, 200) + 0.06 * (np.arange(200) >= 100)
        levels = steps([row])[0]
        stand = borne_out(row, levels)
        found = dated(row, levels, stand)
        assert all(0 < level.at <= level.confirmed for level in found)
        near = [place for place, level in enumerate(levels) if stand[place] and abs(level.at - 100) < 20]
        told += sum(abs(levels[place].at - 100) for place in near)
        later += sum(abs(found[place].at - 100) for place in near)
    assert told >= 20 and later <= 0.8 * told


def test_a_step_is_not_moved_before_it_is_reviewed() -> None:
    row = np.random.default_rng([14, 1]).normal(0, 0.02, 125) + 0.04 * (np.arange(125) >= 100)
    levels = steps([row])[0]
    assert dated(row, levels, [True] * len(levels)) == levels


def test_a_return_to_the_old_level_leaves_both_steps() -> None:
    row = np.random.default_rng(3).normal(0, 0.02, 120)
    row[40:60] += 0.2
    levels = steps([row])[0]
    assert len(levels) == 2 and borne_out(row, levels) == [True, True]


_ROWS = arrays(np.float64, st.integers(1, 80), elements=st.floats(-5, 5))


@given(_ROWS, st.lists(st.integers(0, 79), max_size=6, unique=True).map(sorted))
def test_any_steps_of_any_series_are_answered(row: np.ndarray, places: list[int]) -> None:
    """One answer each; what is not yet due stands."""
    levels = [Level(at, 0.0, 1.0, at + 3, False) for at in places if at < len(row)]
    found = borne_out(row, levels)
    assert len(found) == len(levels) == len(dated(row, levels, found))
    assert all(stands for level, stands in zip(levels, found, strict=True) if len(row) - level.at < LATER)


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_memory_to_the_byte_keeps_its_step(level: float) -> None:
    """Without any noise a step is as certain as can be."""
    row = np.full(100, level)
    row[50:] += 0.03
    assert borne_out(row, steps([row])[0]) == [True]
