"""Ticks are few, round and inside the axis, whatever it spans."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isobench.layout.ticks import log_ticks


@example(low=1 / 3, span=1.9, base=10.0)
@example(low=1.0, span=2.0**250, base=2.0)
@example(low=1e299, span=1.1, base=2.0)
@given(low=st.floats(1e-150, 1e150), span=st.floats(1.05, 1e150), base=st.sampled_from([2.0, 10.0]))
def test_an_axis_has_two_to_seven_ticks_inside_it(low: float, span: float, base: float) -> None:
    """Enough to read a value by, few enough not to overlap."""
    ticks = log_ticks(low, low * span, base)
    assert 2 <= len(ticks) <= 8 and ticks == sorted(ticks)
    assert all(low * (1 - 1e-9) <= tick <= low * span * (1 + 1e-9) for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "base", "ticks"),
    [
        (2.7e-4, 6.2e-4, 10.0, [3e-4, 4e-4, 5e-4, 6e-4]),
        (1e-3, 2.0, 10.0, [1e-3, 1e-2, 1e-1, 1.0]),
        (900.0, 2**20, 2.0, [2**10, 2**15, 2**20]),
        (570 * 2**20, 680 * 2**20, 2.0, [mib * 2**20 for mib in (575, 600, 625, 650, 675)]),
        (900 * 2**10, 3 * 2**20, 2.0, [half * 2**19 for half in (2, 3, 4, 5)]),
        (70e-6, 320e-6, 10.0, [100e-6, 150e-6, 200e-6, 300e-6]),
    ],
)
def test_ticks_are_round(low: float, high: float, base: float, ticks: list[float]) -> None:
    """In the unit that people read them in."""
    assert [math.isclose(a, b) for a, b in zip(log_ticks(low, high, base), ticks, strict=True)] == [True] * len(ticks)
