"""What a family of series knows that none of them does: whether its noise grows."""

from __future__ import annotations

import numpy as np

from isobench.nights import wander

SERIES, NIGHTS, AT = 200, 120, 60


def _rows(seed: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, (SERIES, NIGHTS))


def test_noise_that_grows_in_all_series_is_known_on_the_third_night_and_for_a_time() -> None:
    rows = _rows()
    rows[:, AT:] *= 3
    unsteady = wander.family(list(rows)).unsteady
    assert not unsteady[: AT + 1].any()
    assert unsteady[AT + 3 : AT + 40].all()


def test_noise_that_grows_in_one_series_after_the_other_is_known() -> None:
    rows = _rows()
    for number, row in enumerate(rows):
        row[40 + number // 4 :] *= 3
    assert wander.family(list(rows)).unsteady[55:].all()


def test_a_host_that_moves_for_good_or_for_two_nights_is_no_noise() -> None:
    for end in (NIGHTS, AT + 2):
        rows = _rows()
        rows[:, AT:end] += 0.1
        assert not wander.family(list(rows)).unsteady.any()


def test_what_was_known_on_a_night_does_not_change_later() -> None:
    rows = _rows()
    rows[:, AT:] *= 3
    whole = wander.family(list(rows)).unsteady
    for night in (AT, AT + 2, AT + 5, 100):
        assert (wander.family(list(rows[:, :night])).unsteady == whole[: night + 1]).all()


def test_series_without_any_noise_and_of_other_lengths_are_no_trouble() -> None:
    rows = [np.zeros(n) for n in (3, 10, 50, 90)]
    assert not wander.family(rows).unsteady.any()
    assert not wander.family([np.zeros(0)]).unsteady.any()


def test_a_step_of_all_series_does_not_pass_for_wandering_while_it_is_being_told() -> None:
    """The look at night 64 comes four nights after it."""
    rows = _rows()
    before = wander.inflation(rows[0, :AT], wander.family(list(rows)), 65)
    rows[:, AT:] += 0.05
    after = wander.inflation(rows[0, :AT], wander.family(list(rows)), 65)
    assert (after < 1.05 * before).all()
