"""Verdicts: from intervals to words, and from samples to a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.analysis import frames, verdicts
from isobench.analysis.results import Difference, Results
from isobench.analysis.stopping import WidthStopper
from isobench.analysis.verdicts import verdict
from isobench.results import store
from tests.unit.analysis.made import write_run
from verification.validity.runs import quiet, run_of


@pytest.mark.parametrize(
    ("ratio", "low", "high", "word"),
    [
        (1.2, 1.10, 1.30, "slower"),
        (0.8, 0.70, 0.90, "faster"),
        (1.0, 0.97, 1.03, "equivalent"),
        (1.02, 1.01, 1.04, "equivalent"),
        (1.0, 0.90, 1.20, "inconclusive"),
        (1.1, 1.02, 1.30, "inconclusive"),
        (1.5, math.nan, math.nan, "inconclusive"),
        (math.nan, math.nan, math.nan, ""),
        (1.0, 1.0, 1.0, "equivalent"),
    ],
)
def test_the_four_verdicts(ratio: float, low: float, high: float, word: str) -> None:
    assert verdict(ratio, low, high) == word


@given(st.floats(0.01, 100), st.floats(1, 10))
def test_a_verdict_is_symmetric(low: float, width: float) -> None:
    """Exchanging the two sides exchanges slower and faster."""
    other = {"slower": "faster", "faster": "slower"}
    word, mirrored = verdict(low, low, low * width), verdict(1 / low, 1 / (low * width), 1 / low)
    assert mirrored == other.get(word, word) or math.isclose(low, 1.05) or math.isclose(low * width, 1.05)


def _frame(logs: dict[tuple[str, str], np.ndarray], unit: str = "second") -> pd.DataFrame:
    """Metrics m0, m1, … of one scenario; a cost is the exponential of what is given, block by block."""
    parts = [
        pd.DataFrame({
            "scenario": "s", "metric": metric, "environment": name, "unit": unit,
            "block": np.arange(1, len(values) + 1), "value": np.exp(values),
            "warmup": False, "control": name.endswith("@control"), "excluded": False,
        })
        for (metric, name), values in logs.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _summary(frame: pd.DataFrame, by: str | list[str]) -> Any:
    """The summary by environment, or by metric and environment."""
    return frames.summary(frame, "process").set_index(by)


def _quiet(
    random: np.random.Generator, metrics: int, names: int, blocks: int, scale: float
) -> dict[tuple[str, str], np.ndarray]:
    everyone = ["process", "process@control", *(f"e{n}" for n in range(names))]
    return {(f"m{m}", name): random.normal(0, scale, blocks) for m in range(metrics) for name in everyone}


def test_the_interval_decides_and_is_as_wide_as_the_others_ask() -> None:
    """Fifty costs of which one differs: every verdict is what its interval says, and the one that claims a difference
    is wider than the same data alone would be."""
    random = np.random.default_rng(1)
    logs = _quiet(random, 10, 5, 12, 0.03)
    logs["m0", "e0"] += math.log(1.5)
    many = _summary(_frame(logs), ["metric", "environment"])
    alone = {key: values for key, values in logs.items() if key in (("m0", "process"), ("m0", "e0"))}
    one = _summary(_frame(alone), ["metric", "environment"]).loc["m0", "e0"]
    row = many.loc[("m0", "e0")]
    assert row["verdict"] == one["verdict"] == "slower" and row["ratio"] == one["ratio"]
    assert row["ratio_low"] < one["ratio_low"] and row["ratio_high"] > one["ratio_high"]
    for told in many.itertuples():
        assert told.verdict == verdict(told.ratio, told.ratio_low, told.ratio_high)


def test_ties_do_not_hide_a_difference() -> None:
    """Thirteen and a half times as many bytes in each of sixteen blocks is certain, whatever stands beside it."""
    logs = _quiet(np.random.default_rng(2), 20, 10, 16, 0.3)
    logs["m0", "process"], logs["m0", "e0"] = np.zeros(16), np.full(16, math.log(13.5))
    row = _summary(_frame(logs), ["metric", "environment"]).loc[("m0", "e0")]
    assert row["verdict"] == "slower" and row["ratio_low"] == pytest.approx(13.5)


def test_fewer_than_six_blocks_conclude_nothing() -> None:
    """Not even that constant values are the same."""
    logs = {("m0", name): np.zeros(5) for name in ("process", "process@control", "e0")}
    row = _summary(_frame(logs), "environment").loc["e0"]
    assert row["verdict"] == "inconclusive" and math.isnan(row["ratio_low"]) and row["ratio"] == 1 and row["n"] == 5


def test_n_is_pairs(tmp_path: Path) -> None:
    """Blocks that the baseline does not have are values, but no pairs."""
    logs = _quiet(np.random.default_rng(3), 1, 1, 20, 0.01)
    frame = _frame(logs)
    frame = frame[(frame["environment"] != "process") | (frame["block"] > 8)]
    row = _summary(frame, "environment").loc["e0"]
    assert (row["n"], row["taken"]) == (12, 20)


def test_a_benchmark_listed_three_times_counts_once() -> None:
    frame = _frame(_quiet(np.random.default_rng(4), 2, 2, 12, 0.02))
    one, three = frames.summary(frame, "process"), frames.summary(pd.concat([frame] * 3), "process")
    assert one.equals(three)


def test_units_are_not_mixed() -> None:
    """Bytes are no multiple of seconds."""
    frame = _frame(_quiet(np.random.default_rng(5), 1, 1, 12, 0.02))
    frame.loc[frame["environment"] == "e0", "unit"] = "byte"
    row = _summary(frame, "environment").loc["e0"]
    assert row["verdict"] == "" and math.isnan(row["ratio"]) and row["unit"] == "byte"


def test_a_control_that_fails_takes_verdicts_back() -> None:
    """The baseline's second copy is 30 % dearer: what differs by less is not told; what differs by far more is."""
    random = np.random.default_rng(6)
    logs = _quiet(random, 1, 2, 20, 0.02)
    logs["m0", "e0"] += math.log(1.2)
    logs["m0", "e1"] += math.log(100)
    before = _summary(_frame(logs), "environment")
    assert list(before.loc[["e0", "e1"], "verdict"]) == ["slower", "slower"] and before.loc["e0", "strayed"] == 1
    logs["m0", "process@control"] += math.log(1.3)
    after = _summary(_frame(logs), "environment")
    assert list(after.loc[["e0", "e1"], "verdict"]) == ["inconclusive", "slower"]
    assert after.loc["e0", "strayed"] > 1.25 and after.loc["e0", "ratio_low"] < 1


def test_many_small_hits_of_the_control_are_no_chance() -> None:
    """Seven of twenty-five metrics at 5 % each happen once in five thousand runs; four once in thirty."""
    assert verdicts.control_failed(9, 25) and verdicts.control_failed(7, 25)
    assert (
        not verdicts.control_failed(4, 25) and not verdicts.control_failed(1, 1) and not verdicts.control_failed(0, 0)
    )


def test_blocks_that_resemble_their_neighbours_count_for_less() -> None:
    """AR(1) 0.7 in all costs of a run: seen together, and the intervals are as wide as that asks."""
    random = np.random.default_rng(7)
    covered, effective = [], []
    for _ in range(20):
        logs = _quiet(random, 5, 3, 20, 0.03)
        for series in logs.values():
            for place in range(1, 20):
                series[place] += 0.7 * series[place - 1]
        table = frames.summary(_frame(logs), "process")
        rows = table[~table["control"] & (table["environment"] != "process")]
        covered += [low <= 1 <= high for low, high in zip(rows["ratio_low"], rows["ratio_high"], strict=True)]
        effective += list(rows["effective"])
    assert np.mean(covered) > 0.9 and np.median(effective) < 8


def test_a_run_summed_up(tmp_path: Path) -> None:
    """The ratios that were put in come out, the control is apart, and marked blocks and warm-ups do not count."""
    run = store.load(write_run(tmp_path, blocks=30))
    frame = frames.samples(run)
    table = frames.summary(frame, "process").set_index("environment")
    assert table.loc["docker", "ratio"] == pytest.approx(200, rel=0.02)
    assert table.loc["docker", "verdict"] == "slower"
    assert table.loc["process@control", "control"] and table.loc["process", "ratio"] == 1
    assert set(table["n"]) == {30}
    frame.loc[frame["block"] <= 10, "excluded"] = True
    assert set(frames.summary(frame, "process")["n"]) == {20}


def test_differences_are_paired(tmp_path: Path) -> None:
    """docker less chroot, in seconds."""
    frame = frames.samples(store.load(write_run(tmp_path, blocks=30)))
    table = frames.differences(frame, [("docker", "chroot"), ("docker", "nothing")])
    (row,) = (Difference(*one) for one in table.itertuples(index=False, name=None))
    assert (row.environment, row.compared_with, row.n) == ("docker", "chroot", 30)
    assert row.low < row.value < row.high and row.value == pytest.approx(0.1989, rel=0.02)


def test_a_dozen_independent_blocks_are_not_taken_for_drift() -> None:
    """Differences between rungs keep the interval that their blocks give: one that seems to rise, among several that do
    not, is chance. That of Docker in a real run was given ten times as wide."""
    random = np.random.default_rng(5)
    noises = {("startup", f"m{n}", "b"): random.normal(0.1, 0.01, 12) for n in range(9)}
    noises["startup", "m0", "b"] = np.array([*(170, 167, 164, 179, 178, 194), *(197, 170, 181, 200, 210, 196)]) / 1e3
    rows = [
        ("startup", metric, name, "second", block, 1.0 + (gap if name == "b" else 0.0), False, False, False)
        for (_, metric, _), gaps in noises.items()
        for block, gap in enumerate(gaps, 1)
        for name in ("a", "b")
    ]
    columns = ["scenario", "metric", "environment", "unit", "block", "value", "warmup", "control", "excluded"]
    found = frames.differences(pd.DataFrame(rows, columns=columns), [("b", "a")])
    assert ((found["high"] - found["low"]) < 0.03).all()


def test_stopping_looks_at_widths(tmp_path: Path) -> None:
    """Six blocks are too few for ±1 %, and thirty enough for ±2 %; the control is not waited for."""
    few = store.load(write_run(tmp_path / "a", blocks=6))
    assert WidthStopper("process", 0.001).imprecise(few.series) == ["startup.ready/chroot", "startup.ready/docker"]
    many = store.load(write_run(tmp_path / "b", blocks=30))
    assert WidthStopper("process", 0.02).imprecise(many.series) == []


def test_stopping_looks_at_the_intervals_that_will_be_told() -> None:
    """Blocks of forty costs resemble each other, which each of them hardly shows: alone most seem narrow enough."""
    random = np.random.default_rng(4)
    costs = {("s", f"m{metric}", name): logs for metric in range(8)
             for name, logs in quiet(random, 5, 8, 0.03, "AR(1) 0.7").items()}  # fmt: skip
    run = run_of(costs)
    ratios = Results(run).ratios
    wide = {f"{s}.{m}/{e}" for (s, m, e), one in ratios.items() if "@" not in e
            and (one.found.high - one.found.low) / 2 > math.log1p(0.05)}  # fmt: skip
    alone = [(found.high - found.low) / 2 > math.log1p(0.05) for found in map(verdicts.centred, _logs(run))]
    assert set(WidthStopper("process", 0.05).imprecise(run.series)) == wide
    assert len(wide) > 20 > sum(alone)


def _logs(run: store.Run) -> list[np.ndarray]:
    found = verdicts.log_ratios(Results(run).tables, "process")
    return [logs for (_, _, environment), logs in found.items() if "@" not in environment]


def test_a_slow_drift_does_not_hide_what_is_certain() -> None:
    """Memory in a real run: fourteen times as much in each of twelve blocks that drift by 3 %. Three independent blocks
    and many comparisons once made 14.1× [0.00002, 1400000] of it."""
    logs = np.array(
        [*(2.6426, 2.6442, 2.6151, 2.622, 2.6353, 2.6378), *(2.6534, 2.6646, 2.6617, 2.6593, 2.6752, 2.6524)]
    )
    costs = _quiet(np.random.default_rng(3), 40, 4, 12, 0.02)
    costs["m0", "e0"] = logs + costs["m0", "process"]
    row = _summary(_frame(costs), ["metric", "environment"]).loc[("m0", "e0")]
    assert row["effective"] < 12
    assert row["verdict"] == "slower" and row["ratio_low"] > 8
