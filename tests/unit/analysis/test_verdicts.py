"""Verdicts: from intervals to words, and from samples to a table."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import store
from bench.analysis import frames, verdicts
from bench.analysis.stopping import WidthStopper
from bench.analysis.verdicts import verdict
from bench.report.context import Difference
from tests.unit.analysis.made import write_run


@pytest.mark.parametrize(
    ("low", "high", "p", "n", "word"),
    [
        (1.10, 1.30, 0.001, 20, "slower"),
        (0.70, 0.90, 0.001, 20, "faster"),
        (0.97, 1.03, 0.9, 20, "equivalent"),
        (1.01, 1.04, 0.001, 20, "equivalent"),
        (0.90, 1.20, 0.5, 20, "inconclusive"),
        (1.02, 1.30, 0.001, 20, "inconclusive"),
        (1.10, 1.30, 0.2, 20, "inconclusive"),
        (1.10, 1.30, 0.001, 5, "inconclusive"),
        (math.nan, math.nan, math.nan, 0, ""),
        (1.0, 1.0, math.nan, 20, "equivalent"),
    ],
)
def test_the_four_verdicts(low: float, high: float, p: float, n: int, word: str) -> None:
    assert verdict(low, high, p, 0.05, n) == word


@given(st.floats(0.01, 100), st.floats(1, 10), st.floats(0, 1), st.integers(0, 100))
def test_a_verdict_is_symmetric(low: float, width: float, p: float, n: int) -> None:
    """Exchanging the two sides exchanges slower and faster."""
    other = {"slower": "faster", "faster": "slower"}
    word, mirrored = verdict(low, low * width, p, 0.05, n), verdict(1 / (low * width), 1 / low, p, 0.05, n)
    assert mirrored == other.get(word, word) or math.isclose(low, 1.05) or math.isclose(low * width, 1.05)


def test_a_run_summed_up(tmp_path: Path) -> None:
    """The ratios that were put in come out, the control is apart, and marked blocks and warm-ups do not count."""
    run = store.load(write_run(tmp_path, blocks=30))
    frame = frames.samples(run)
    table = verdicts.summary(frame, "process").set_index("environment")
    assert table.loc["docker", "ratio"] == pytest.approx(200, rel=0.02)
    assert table.loc["docker", "verdict"] == "slower"
    assert table.loc["process@control", "control"] and table.loc["process", "ratio"] == 1
    assert set(table["n"]) == {30}
    frame.loc[frame["block"] <= 10, "excluded"] = True
    assert set(verdicts.summary(frame, "process")["n"]) == {20}


def test_differences_are_paired(tmp_path: Path) -> None:
    """docker less chroot, in seconds."""
    frame = frames.samples(store.load(write_run(tmp_path, blocks=30)))
    table = verdicts.differences(frame, [("docker", "chroot"), ("docker", "nothing")])
    (row,) = (Difference(*one) for one in table.itertuples(index=False, name=None))
    assert (row.environment, row.compared_with, row.n) == ("docker", "chroot", 30)
    assert row.low < row.value < row.high and row.value == pytest.approx(0.1989, rel=0.02)


def test_stopping_looks_at_widths(tmp_path: Path) -> None:
    """Six blocks are too few for ±1 %, and thirty enough for ±2 %; the control is not waited for."""
    few = store.load(write_run(tmp_path / "a", blocks=6))
    assert WidthStopper("process", 0.001).imprecise(few.series) == ["startup.ready/chroot", "startup.ready/docker"]
    many = store.load(write_run(tmp_path / "b", blocks=30))
    assert WidthStopper("process", 0.02).imprecise(many.series) == []
