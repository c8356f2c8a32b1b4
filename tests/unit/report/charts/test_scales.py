"""What an axis shows."""

from __future__ import annotations

from isobench.report.charts.scales import in_sight


def test_one_wild_interval_does_not_hide_the_points() -> None:
    """An axis shows every point, and an interval as far as ten times beyond them; what is not positive stays."""
    assert in_sight([1.0, 2.0], [1e-9, 0.5, 1e6]) == [1.0, 2.0, 0.1, 0.5, 20.0]
    assert in_sight([1.0], []) == [1.0]
    assert in_sight([1.0], [-1.0, 5.0]) == [1.0, -1.0, 5.0]
