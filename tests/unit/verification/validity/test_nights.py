"""The promises about nights, with fewer families than `nox -s validity` takes."""

from __future__ import annotations

import pytest

from verification.validity import nights

QUIET = ["normal", "spiky", "two levels", "quantised", "AR(1) 0.7", "weekly", "variance change"]


@pytest.mark.parametrize("kind", QUIET)
def test_a_family_of_quiet_series_is_quiet(kind: str) -> None:
    assert nights.false_nights(kind, 1, 20, series=100, nights=100) <= 2


def test_levels_that_wander_for_long_are_quiet_where_three_hundred_series_tell() -> None:
    assert nights.false_nights("AR(1) 0.9", 1, 31337) <= 2


@pytest.mark.parametrize("stepping", [16, nights.SERIES])
def test_a_step_of_five_per_cent_is_told_in_five_nights(stepping: int) -> None:
    """Whether few series have it or all: a host that moves does not pass for one that wanders."""
    delays = nights._delays(8 if stepping == 16 else 1, 400, stepping, 60)
    assert sorted(delays)[len(delays) // 2] <= 5


def test_disturbances_and_returns() -> None:
    line = nights.g23(trials=20)
    assert line.held, line.text
