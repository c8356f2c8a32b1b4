"""What several sections lay out the same way."""

from __future__ import annotations

import numpy as np
import pytest

from isobench.report.context import Context
from isobench.report.sections import _shared
from tests.unit.report.made import context, estimate, row_of
from verification.validity.runs import context_of


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
    made = context(estimates=rows, blocks=6)
    (figure,) = _shared.over_count(made, "memory", ["process", "docker"], "idle instances", fit=True)
    assert figure.title == "pss: one more instance costs 8.00× as much in docker as in process"
    assert row_of(figure.data, "docker") == ["docker", "8.00 MiB", "12.0 MiB", "20.0 MiB", "36.0 MiB"]


def test_parts_show_their_sum() -> None:
    """The parts of a cost stand beside their sum; a part that does not exist is a dash."""
    rows = [estimate("startup", m, "docker", r) for m, r in (("cpu-payload", 1.0), ("cpu-engine", 3.0))]
    rows.append(estimate("startup", "cpu-payload", "process", 1.0))
    figure = _shared.parts_figure(
        context(estimates=rows, blocks=6), "startup", ["cpu-payload", "cpu-engine"], "CPU", ["process", "docker"]
    )
    assert figure is not None
    assert figure.title == "CPU: the largest part is cpu-engine in docker, 75 % of its sum"
    assert row_of(figure.data, "docker")[1:] == ["1.00 ms", "3.00 ms", "4.00 ms"]
    assert row_of(figure.data, "process")[1:] == ["1.00 ms", "–", "1.00 ms"]


def _equal(metrics: list[str], blocks: int = 12) -> Context:
    """Eight environments that cost the same in all of these metrics."""
    random = np.random.default_rng(len(metrics))
    names = ("process", *(f"e{number}" for number in range(8)))
    return context_of({("s", metric, name): random.normal(0, 0.2, blocks) for metric in metrics for name in names})


def test_titles_of_parts_and_lines_name_nobody_in_pure_noise() -> None:
    """Medians always have a largest one; it stands in a title only if it certainly is."""
    names = ["process", *(f"e{number}" for number in range(8))]
    figure = _shared.parts_figure(_equal(["a", "b"]), "s", ["a", "b"], "CPU", names)
    assert figure is not None and figure.title == "CPU, in 2 parts"
    for fit in (True, False):
        (figure,) = _shared.over_count(_equal(["pss-1", "pss-2", "pss-4"]), "s", names, "instances", fit=fit)
        assert figure.title == "pss over the number of instances, up to 4"


def test_a_line_that_ends_early_is_not_compared_at_the_largest_number() -> None:
    """Docker was measured with one and two instances, process with up to four: at four nothing is known of docker."""
    rows = [estimate("memory", f"pss-{n}", "process", float(n)) for n in (1, 2, 4)]
    rows += [estimate("memory", f"pss-{n}", "docker", 8.0 * n) for n in (1, 2)]
    made = context(estimates=rows, blocks=6)
    (figure,) = _shared.over_count(made, "memory", ["process", "docker"], "instances")
    assert figure.title == "pss over the number of instances, up to 4"


def test_a_title_of_five_blocks_says_that_they_are_too_few() -> None:
    """That nobody can be distinguished is a finding; of five blocks there is none."""
    for blocks, words in ((5, "too few blocks to tell 8 environments from process"), (12, "none of 8 environments")):
        made = _equal(["a"], blocks)
        assert words in _shared.finding(made, made.select("s", "a"), "a")


def test_a_title_calls_nothing_equal_that_is_certainly_dearer() -> None:
    """1.04 times, give or take a hundredth, is within the band, and not the same."""
    rows = [estimate("s", "m", "chroot", 1.04, ratio_low=1.03, ratio_high=1.045, verdict="equivalent"),
            estimate("s", "m", "docker", 3.0)]  # fmt: skip
    assert _shared.verdict_counts(rows, "costs") == "Of 2 costs, 1 above the baseline's and 1 within 5 % of it"
