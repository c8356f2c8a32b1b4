"""The distributions, against scipy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from isobench.estimation.distributions import binomial_tail, chi_square_median, student_quantile, student_tail

FREEDOMS = st.floats(0.5, 1e5)


@given(st.floats(0, 1e4), FREEDOMS)
def test_the_tail_is_scipys(t: float, freedom: float) -> None:
    assert student_tail(t, freedom) == pytest.approx(float(special.stdtr(freedom, -t)), rel=1e-7, abs=1e-290)


@given(st.floats(1e-12, 1), FREEDOMS)
def test_the_quantile_is_scipys_and_leaves_what_was_asked(outside: float, freedom: float) -> None:
    """Few independent blocks (one degree of freedom), and so many that it is the normal one."""
    found = student_quantile(outside, freedom)
    assert found >= 0 and 2 * student_tail(found, freedom) == pytest.approx(outside, rel=1e-9)
    if outside < 0.999:
        assert found == pytest.approx(-float(special.stdtrit(freedom, outside / 2)), rel=1e-5)


@pytest.mark.parametrize("freedom", [1.1, 1.65, 2.0, 4.0, 11.0, 100.0])
def test_the_median_of_squares(freedom: float) -> None:
    assert chi_square_median(freedom) == pytest.approx(2 * float(special.gammaincinv(freedom / 2, 0.5)), rel=0.04)


@given(st.integers(1, 400), st.floats(0.001, 0.999), st.data())
def test_the_binomial_tail_is_scipys(trials: int, chance: float, data: st.DataObject) -> None:
    hits = data.draw(st.integers(1, trials))
    expected = float(special.bdtrc(hits - 1, trials, chance))
    assert binomial_tail(hits, trials, chance) == pytest.approx(expected, rel=1e-7, abs=1e-280)


def test_no_tail_at_all() -> None:
    assert student_tail(0, 5) == 0.5 and student_tail(math.inf, 5) == 0 and student_quantile(1.0, 5) == 0
