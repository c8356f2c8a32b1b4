"""The promises that simulation decides, with fewer trials than `nox -s validity` takes and fixed seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verification.validity import claims, comparisons, simulated
from verification.validity.promise import Line

FAST: list[Callable[[], Line]] = [
    lambda: simulated.g2(trials=1500),
    lambda: simulated.g3(trials=1500),
    lambda: simulated.g4(trials=800),
    lambda: simulated.g5(trials=40),
    lambda: simulated.g6(trials=60),
    simulated.g7,
    simulated.g9,
    lambda: claims.g13(trials=30),
    lambda: claims.g14(trials=40),
    lambda: claims.g15(trials=16),
    lambda: claims.g16(trials=12),
    lambda: comparisons.g17(trials=12),
    lambda: comparisons.g18(trials=15),
    comparisons.g25,  # fewer trials than it has cannot tell 3 % from 5 %
]


@pytest.mark.parametrize(
    "check", FAST, ids=["G2", "G3", "G4", "G5", "G6", "G7", "G9", "G13", "G14", "G15", "G16", "G17", "G18", "G25"]
)
def test_the_promise_holds(check: Callable[[], Line]) -> None:
    line = check()
    assert line.held, line.text
