"""What several sections lay out the same way."""

from __future__ import annotations

import pytest

from isobench.report.sections import _shared
from tests.unit.report.made import context, estimate, row_of


def test_a_slope_is_a_least_squares_slope() -> None:
    """The line through exact points has their slope; a single point has none."""
    assert _shared.line_fit([1, 2, 4], [12, 14, 18]) == pytest.approx((2.0, 10.0))
    assert _shared.line_fit([3, 3], [1, 2]) is None


def test_lines_over_the_number_of_instances_have_their_slope() -> None:
    """Metrics that end in a number become one figure, whose slope is the cost of one more instance."""
    rows = [
        estimate("memory", f"pss-{n}", name, 1.0, median=float((4 + n * each) << 20))
        for name, each in (("process", 1), ("docker", 8))
        for n in (1, 2, 4)
    ]
    made = context(estimates=rows)
    (figure,) = _shared.over_count(made, "memory", ["process", "docker"], "idle instances", fit=True)
    assert figure.title == "pss: one more instance costs 8.00× as much in docker as in process"
    assert row_of(figure.data, "docker") == ["docker", "8.00 MiB", "12.0 MiB", "20.0 MiB", "36.0 MiB"]


def test_parts_show_their_sum() -> None:
    """The parts of a cost stand beside their sum; a part that does not exist is a dash."""
    rows = [estimate("startup", m, "docker", r) for m, r in (("cpu-payload", 1.0), ("cpu-engine", 3.0))]
    rows.append(estimate("startup", "cpu-payload", "process", 1.0))
    figure = _shared.parts_figure(
        context(estimates=rows), "startup", ["cpu-payload", "cpu-engine"], "CPU", ["process", "docker"]
    )
    assert figure is not None
    assert figure.title == "CPU: the largest part is cpu-engine in docker, 75 % of its sum"
    assert row_of(figure.data, "docker")[1:] == ["1.00 ms", "3.00 ms", "4.00 ms"]
    assert row_of(figure.data, "process")[1:] == ["1.00 ms", "–", "1.00 ms"]
