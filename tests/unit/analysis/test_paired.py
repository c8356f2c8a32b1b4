"""The paired estimate against scipy on the same data, and what must hold for any data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.paired import FEWEST_FOR_RANKS, benjamini_hochberg, holm, interval, p_value, pair

values = st.lists(st.floats(-1e6, 1e6, width=32), min_size=6, max_size=40).map(np.array)


@pytest.mark.parametrize("n", [6, 8, 13, 20, 25])
def test_the_interval_is_what_wilcoxons_test_does_not_reject(n: int) -> None:
    """scipy's exact signed-rank test keeps every shift just inside the interval and rejects those just outside."""
    random = np.random.default_rng(n)
    data = random.normal(0.4, 1, n)
    found = interval(data)
    for end, outwards in ((found.low, -1e-9), (found.high, 1e-9)):
        assert stats.wilcoxon(data - end - outwards * -1, method="exact").pvalue > 0.05
        assert stats.wilcoxon(data - end - outwards, method="exact").pvalue <= 0.05


@pytest.mark.parametrize("n", [6, 7, 10])
def test_the_centre_is_the_median_of_all_averages(n: int) -> None:
    data = np.random.default_rng(n).normal(size=n)
    averages = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(data, 2)]
    assert interval(data).centre == pytest.approx(float(np.median(averages)))


@given(values, st.floats(-1e3, 1e3), st.floats(0.1, 10))
def test_shift_and_scale(data: np.ndarray, shift: float, factor: float) -> None:
    """Another unit and another zero move the answer with them."""
    one, two = interval(data), interval(data * factor + shift)
    for a, b in zip(one[:3], two[:3], strict=True):
        assert b == pytest.approx(a * factor + shift, rel=1e-6, abs=1e-3 * factor)


@given(values, st.randoms())
def test_order_does_not_matter(data: np.ndarray, shuffler: object) -> None:
    shuffled = list(data)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert interval(np.array(shuffled)) == interval(data)


@given(values)
def test_the_centre_is_inside(data: np.ndarray) -> None:
    found = interval(data)
    assert data.min() <= found.low <= found.centre <= found.high <= data.max()


@pytest.mark.parametrize(("n", "held"), [(0, 0.0), (1, 0.0), (5, 0.9375)])
def test_too_few_pairs_say_so(n: int, held: float) -> None:
    assert interval(np.arange(float(n))).confidence == held


def test_a_large_sample_agrees_with_the_small_ones_method() -> None:
    """Above 600 pairs the median's interval is used: about as wide, around the same centre."""
    data = np.random.default_rng(1).normal(1, 1, 700)
    large, small = interval(data), interval(data[:600])
    assert large.centre == pytest.approx(1, abs=0.15) and small.centre == pytest.approx(1, abs=0.15)
    assert large.high - large.low == pytest.approx(small.high - small.low, rel=0.6)


def test_p_values() -> None:
    """scipy's t-test, and what it cannot say."""
    data = np.random.default_rng(2).normal(0.5, 1, 12)
    assert p_value(data) == pytest.approx(stats.ttest_1samp(data, 0).pvalue)
    assert p_value(np.zeros(5)) == 1.0 and p_value(np.ones(5)) == 0.0 and p_value(np.ones(1)) == 1.0


def test_holm_by_hand() -> None:
    """Smallest times three, next times two, never falling; NaN does not count."""
    assert holm(np.array([0.03, math.nan, 0.01, 0.02])) == pytest.approx([0.04, math.nan, 0.03, 0.04], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrections_never_lower_a_p(p: list[float]) -> None:
    array = np.array(p)
    assert np.all(holm(array) >= array) and np.all(holm(array) <= 1)
    assert np.all(benjamini_hochberg(array) >= array - 1e-12)
    assert np.all(holm(array) >= benjamini_hochberg(array) - 1e-12)


def test_pairs_are_made_by_block() -> None:
    """A block that one side does not have counts on neither."""
    mine, theirs = pair(
        np.array([1, 2, 4]), np.array([1.0, 2.0, 4.0]), np.array([2, 3, 4]), np.array([20.0, 30.0, 40.0])
    )
    assert list(mine) == [2.0, 4.0] and list(theirs) == [20.0, 40.0]


def test_one_wild_block_does_not_undo_a_clear_difference() -> None:
    """Nineteen pairs twice as dear and one of them forty times: the ranks say so, as the interval does; a t-test would
    be talked out of it by the wild one."""
    values = np.log(2) + np.random.default_rng(3).normal(0, 0.15, 19)
    values[4] = math.log(40)
    assert interval(values).low > math.log(1.5)
    assert p_value(values) == pytest.approx(stats.wilcoxon(values).pvalue)
    assert p_value(values) * 1000 < 0.05
    few = values[: FEWEST_FOR_RANKS - 1]
    assert p_value(few) == pytest.approx(stats.ttest_1samp(few, 0.0).pvalue)
