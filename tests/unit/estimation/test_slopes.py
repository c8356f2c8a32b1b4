"""Slopes with their sign, out of counts of which those that are not positive were not stored."""

from __future__ import annotations

import pytest

from isobench.estimation.slopes import reached, signed


def test_a_number_whose_low_counts_are_missing_counts_in_no_block() -> None:
    """To regress over those that are there would leave out just the low ones."""
    steps = reached({"pss": {1: {0: 1.0, 1: 1.0}, 2: {0: 3.0, 1: 3.0}, 4: {0: 7.0}}})
    assert steps == {0: 4, 1: 2}
    assert signed({1: {0: 1.0, 1: 1.0}, 2: {0: 9.0}, 4: {0: 7.0}}, steps) == pytest.approx({0: 2.0})


def test_a_slope_may_be_negative_and_a_block_of_one_number_has_none() -> None:
    counts = {1: {0: 8.0, 1: 5.0}, 2: {0: 6.0}}
    assert signed(counts, reached({"available": counts})) == pytest.approx({0: -2.0})
