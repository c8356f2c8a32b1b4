"""Slopes over the number of instances: found where they were put, left out where they are no cost."""

from __future__ import annotations

import pytest

from isobench.scenarios.density import COUNTS, Density, results


def test_slopes_and_intercept() -> None:
    """Each count grows by its own slope; what does not depend on the number is the fixed cost."""
    made = {n: {"available": 5e6 + 3e6 * n, "pss": 2e6 * n, "kernel": 1e5 * n, "harness": 7e4 * n} for n in COUNTS}
    found = results(made)
    assert found["available"] == pytest.approx(3e6) and found["fixed"] == pytest.approx(5e6)
    assert (found["pss"], found["kernel"], found["harness"]) == pytest.approx((2e6, 1e5, 7e4))
    assert found["available-64"] == pytest.approx(5e6 + 64 * 3e6) and "harness-64" not in found
    assert set(found) <= {m.name for m in Density.metrics}


def test_the_daemons_are_kept_in_full_at_every_number() -> None:
    """And what they give back is a falling line."""
    found = results({n: {"daemons": 9e7 - 1e5 * n} for n in COUNTS})
    assert set(found) == {"daemons", *(f"daemons-{n}" for n in COUNTS)} <= {m.name for m in Density.metrics}
    assert found["daemons-64"] == pytest.approx(9e7 - 64e5)


def test_what_falls_has_its_sign() -> None:
    """A slope below zero is the noise of the host, and its median is wrong without it; one reading gives no slope."""
    falling = {n: {"available": -1e5 * n, "pss": 1e6 * n} for n in COUNTS}
    assert results(falling)["available"] == pytest.approx(-1e5)
    assert set(results({1: falling[1]})) == {"available-1", "pss-1"}
    assert results({}) == {}
