"""When a detector is behind another one: by more than the choice of the series explains."""

from __future__ import annotations

import numpy as np

from verification.crosscheck.shifts import CLASSES, f1, is_behind


def test_one_miss_among_sixty_is_not_behind_and_ten_are() -> None:
    best = [1.0] * 60
    assert not is_behind([0.8, *best[1:]], best) and is_behind([0.8] * 10 + best[10:], best)
    assert not is_behind(best, best) and not is_behind(best, [0.8] * 60)


def test_the_score_is_that_of_the_benchmark() -> None:
    """The start counts as a change that all know; each true change can be hit once."""
    assert f1([50], [52]) == 1 and f1([], []) == 1
    assert f1([50, 53], [52]) == 0.8 and f1([], [52]) == 2 / 3


def test_the_made_series_have_their_changes_where_they_say() -> None:
    for make in CLASSES.values():
        row, places = make(np.random.default_rng(1))
        assert all(0 < place < len(row) for place in places)
