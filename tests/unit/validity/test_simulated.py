"""The promises that simulation decides, with fewer trials than `nox -s validity` takes and fixed seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from validity import simulated
from validity.promise import Line

FAST: list[Callable[[], Line]] = [
    lambda: simulated.g2(trials=1500),
    lambda: simulated.g3(trials=1500),
    lambda: simulated.g4(trials=800),
    lambda: simulated.g5(trials=40),
    lambda: simulated.g6(trials=15),
    simulated.g7,
    simulated.g9,
]


@pytest.mark.parametrize("check", FAST, ids=["G2", "G3", "G4", "G5", "G6", "G7", "G9"])
def test_the_promise_holds(check: Callable[[], Line]) -> None:
    line = check()
    assert line.held, line.text
