"""The promises about nights, with fewer families than `nox -s validity` takes."""

from __future__ import annotations

import pytest

from validity import nights


@pytest.mark.parametrize("kind", ["normal", "spiky", "two levels", "quantised", "AR(1) 0.7", "weekly"])
def test_a_family_of_quiet_series_is_quiet(kind: str) -> None:
    assert nights.false_nights(kind, 1, 20, series=100, nights=100) <= 2


def test_disturbances_and_returns() -> None:
    line = nights.g23(trials=20)
    assert line.held, line.text
