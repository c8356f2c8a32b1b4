"""The paired estimate against scipy on the same data, and what must hold for any data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from isobench.estimation import autocorrelation, paired
from isobench.estimation.paired import holm, holm_level, interval, p_value, pair

values = st.lists(st.floats(-1e6, 1e6, width=32), min_size=6, max_size=40).map(np.array)


@given(st.lists(values, max_size=6))
def test_centres_of_many_are_those_of_each(many: list[np.ndarray]) -> None:
    """Whatever their lengths, long ones too."""
    many = [*many, np.linspace(-1, 5, 700) ** 3]
    assert paired.centres(many) == pytest.approx([interval(one).centre for one in many])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_median_is_numpys(series: list[float]) -> None:
    assert paired.median(series) == float(np.median(series))


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


@pytest.mark.parametrize("data", [
    np.random.default_rng(1).normal(1, 1, 900),
    np.round(np.random.default_rng(2).normal(0, 2, 901)),
    np.repeat([0.0, 1.0], [300, 301]),
    np.full(700, 2.5),
    np.random.default_rng(3).standard_cauchy(650),
])  # fmt: skip
def test_counting_and_listing_averages_give_one_answer(data: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """No number of pairs changes the estimator: beyond the longest list the same averages are counted."""
    counted = interval(data)
    monkeypatch.setattr(paired, "_MOST_LISTED", 1000)
    listed = interval(data)
    largest = float(np.abs(data).max())
    assert counted[:3] == pytest.approx(listed[:3], abs=1e-12 * largest) and counted[3:] == listed[3:]


def test_a_long_series_is_estimated_in_seconds() -> None:
    """Two hundred thousand pairs: the averages are counted, not listed, which no memory would hold."""
    found = interval(np.random.default_rng(4).normal(0.5, 1, 200_000))
    assert found.low < 0.5 < found.high and found.high - found.low < 0.02


@given(st.lists(st.integers(-3, 3), min_size=6, max_size=70).map(lambda whole: np.array(whole, dtype=float)))
def test_the_test_and_the_interval_agree_with_ties_and_at_every_size(data: np.ndarray) -> None:
    """p is at most 0.05 where the interval leaves zero out, and only there."""
    found = interval(data)
    assert (p_value(data) <= 0.05) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("n", [6, 12, 19, 40])
def test_p_is_scipys_exact_one(n: int) -> None:
    data = np.random.default_rng(n).normal(0.4, 1, n)
    assert p_value(data) == pytest.approx(stats.wilcoxon(data, method="exact").pvalue)


def test_p_of_few_and_of_equal_values() -> None:
    """All alike, n pairs have the smallest p of ranks; none, and zeros, have 1."""
    assert p_value(np.zeros(5)) == 1.0 and p_value(np.array([])) == 1.0
    assert p_value(np.ones(16)) == 2.0**-15 and p_value(np.ones(5)) == 0.0625


def test_holm_by_hand() -> None:
    """Smallest times three, next times two, never falling; NaN does not count."""
    assert holm(np.array([0.03, math.nan, 0.01, 0.02])) == pytest.approx([0.04, math.nan, 0.03, 0.04], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_correction_never_lowers_a_p(p: list[float]) -> None:
    array = np.array(p)
    assert np.all(holm(array) >= array) and np.all(holm(array) <= 1)


def test_pairs_are_made_by_block() -> None:
    """A block that one side does not have counts on neither."""
    mine, theirs = pair(
        np.array([1, 2, 4]), np.array([1.0, 2.0, 4.0]), np.array([2, 3, 4]), np.array([20.0, 30.0, 40.0])
    )
    assert list(mine) == [2.0, 4.0] and list(theirs) == [20.0, 40.0]


def test_holms_level_is_that_of_the_intervals() -> None:
    """Found are those at or below the level; the others, one fewer each time, are not."""
    p = np.array([0.001, 0.012, 0.02, 0.9, math.nan])
    level = holm_level(p)
    assert np.sum(p <= level) == np.sum(holm(p) <= 0.05) == 3 and level == 0.05


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_level_finds_what_holm_finds(p: list[float]) -> None:
    array = np.array(p)
    assert np.array_equal(array <= holm_level(array), holm(array) <= 0.05) or np.any(
        np.isclose(array, holm_level(array))
    )


def _claim(data: np.ndarray, edge: float = math.log(1.05)) -> float:
    found = interval(data)
    return paired.p_beyond(found, paired.reach(data, found, len(data)), edge)


def test_one_wild_block_does_not_undo_a_clear_difference() -> None:
    """Twelve pairs half as dear again and one of them forty times, up or down: the claim survives a correction for
    fifty others, as it would not in a t-test."""
    random = np.random.default_rng(3)
    for wild in (math.log(40), -math.log(40)):
        values = math.log(1.5) + random.normal(0, 0.03, 12)
        values[4] = wild
        assert interval(values).low > math.log(1.4)
        assert _claim(values) * 50 < 0.05 < stats.ttest_1samp(values, 0.0).pvalue * 50


def test_six_blocks_can_conclude_by_distance_only() -> None:
    """Six pairs that all say the same are one in 32 by chance: among a hundred costs that is a claim only where they
    lie many half-widths from the band."""
    near = np.log(1.2) + np.array([-0.06, -0.03, -0.01, 0.01, 0.03, 0.06])
    assert interval(near).low > math.log(1.05)
    assert _claim(near) * 100 > 0.05 > _claim(near + np.log(2)) * 100


@given(values, st.floats(1e-6, 0.05))
def test_a_stretched_interval_is_wider_and_touches_the_edge_at_its_p(data: np.ndarray, level: float) -> None:
    """The p of a claim is the level at which the interval that is given touches the band."""
    found = interval(data)
    wide = paired.reach(data, found, len(data))
    given_at = paired.stretched(found, wide, level)
    assert given_at.low <= found.low <= found.high <= given_at.high
    edge = abs(found.centre) / 2
    p = paired.p_beyond(found, wide, edge)
    if 1e-12 < p < 0.04:
        touching = paired.stretched(found, wide, p)
        end = touching.low if found.centre > 0 else -touching.high
        assert end == pytest.approx(edge, rel=1e-6, abs=1e-9)


def test_a_tick_that_fell_the_same_way_six_times_is_no_certainty() -> None:
    """Values that move in steps make one side of a rank interval narrow by luck; the other side is heard."""
    assert _claim(np.array([1.0, 1, 1, 1, 1, 2]) * 0.1, 0.0) > 0.0005


def test_no_pair_at_all_claims_nothing() -> None:
    """Two runs may share a cost and no block of it that has a ratio."""
    found = paired.interval(np.array([]))
    wide = paired.reach(np.array([]), found, autocorrelation.effective(0, 0.0))
    assert math.isnan(wide.down) and math.isnan(paired.p_beyond(found, wide, 0.0))


def _reached(series: np.ndarray) -> tuple[paired.Interval, paired.Reach]:
    """As verdicts make it of one series by itself."""
    (correlated,) = autocorrelation.correlations([series])
    blocks = autocorrelation.effective(len(series), correlated.likely)
    found = interval(series)
    most = paired.most(series, found.centre, correlated.at_most)
    found = paired.widened(found, blocks, most)
    return found, paired.reach(series, found, blocks, most)


@pytest.mark.parametrize("blocks", [12, 20, 40])
def test_a_drift_makes_an_interval_as_wide_as_the_run_shows(blocks: int) -> None:
    """A level that drifts by 6 % through a run: the interval reaches no farther than AR(1) 0.9 asks (it was five times
    as wide as the blocks' range)."""
    series = np.linspace(-0.03, 0.03, blocks) + np.random.default_rng(3).normal(0, 0.003, blocks)
    found, wide = _reached(series)
    assert wide.effective < blocks / 2
    assert 0.5 * np.ptp(series) < found.high - found.low < 2.2 * np.ptp(series)


def test_blocks_that_remember_each_other_leave_the_truth_inside() -> None:
    """Of series of AR(1) 0.9 that are seen to be such, nine of ten intervals cover."""
    random = np.random.default_rng(4)
    for blocks in (8, 12, 20):
        covered = []
        for _ in range(400):
            series = random.normal(0, 1, blocks)
            for place in range(1, blocks):
                series[place] = 0.9 * series[place - 1] + math.sqrt(0.19) * series[place]
            found, wide = _reached(series)
            if wide.effective < 0.4 * blocks:
                covered.append(found.low <= 0 <= found.high)
        assert len(covered) > 100 and np.mean(covered) > 0.90


@pytest.mark.parametrize("edge", [0.0, 0.02, 0.05, 0.2])
def test_p_is_the_level_at_which_a_bounded_interval_touches(edge: float) -> None:
    """Blocks that drift, so that the interval is bounded: just above and below that level it lies on either side."""
    series = 0.5 + np.linspace(-0.03, 0.03, 12) + np.random.default_rng(5).normal(0, 0.003, 12)
    found, wide = _reached(series)
    p = paired.p_beyond(found, wide, edge)
    assert 0 < p < 0.05 and wide.most < math.inf
    assert paired.stretched(found, wide, p * 0.99).low < edge < paired.stretched(found, wide, p * 1.01).low
