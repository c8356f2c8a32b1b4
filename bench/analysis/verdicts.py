"""From samples to verdicts: every environment against the baseline, and rungs against each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.analysis.frames import used
from bench.analysis.paired import FEWEST_PAIRS, Interval, holm, interval, log_ratios, p_value, pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BAND = 0.05
"""Equivalent means: the whole interval lies within ±5 %."""
SIGNIFICANCE = 0.05
_POWER_FACTOR = 2.8 / 1.96
"""A true effect this many half-widths of the interval from zero is found in 80 % of runs (1.96 + 0.84 over 1.96)."""

SUMMARY_COLUMNS = (
    *("scenario", "metric", "environment", "unit", "n", "median", "q25", "q75", "minimum"),
    *("ratio", "ratio_low", "ratio_high", "p", "p_holm", "verdict", "mde", "control"),
)
DIFFERENCE_COLUMNS = ("scenario", "metric", "environment", "compared_with", "unit", "n", "value", "low", "high")


def summary(frame: pd.DataFrame, baseline: str, band: float = BAND) -> pd.DataFrame:
    """One row per metric and environment: absolute values, the paired ratio to the baseline with its 95 % interval,
    p of the paired test on log-ratios and after Holm, the verdict, the minimum detectable effect (a ratio less one).

    A metric that the baseline does not have, or that is zero or less in a block, is listed without a ratio, and a ratio
    of fewer than six pairs without an interval: none that they could give holds at 95 %. The baseline's own row has the
    ratio 1.
    """
    rows = []
    for (scenario, metric), table in _tables(used(frame)):
        base = table.values.get(baseline)
        for environment, (blocks, values) in table.values.items():
            row = {
                "scenario": scenario,
                "metric": metric,
                "environment": environment,
                "unit": table.unit,
                "n": len(values),
                **_describe(values),
                "control": table.control[environment],
            }
            row.update(_against(blocks, values, base, environment == baseline))
            rows.append(row)
    result = pd.DataFrame(rows, columns=[*(c for c in SUMMARY_COLUMNS if c not in ("p_holm", "verdict")), "pairs"])
    tested = result["p"].where(~result["control"].astype(bool))  # the control is a check of the method, not a claim
    result["p_holm"] = np.where(result["control"].astype(bool), result["p"], holm(tested.to_numpy(dtype=float)))
    result["verdict"] = [
        verdict(low, high, p, band, n)
        for low, high, p, n in zip(
            result["ratio_low"], result["ratio_high"], result["p_holm"], result["pairs"], strict=True
        )
    ]
    result.loc[result["pairs"] < FEWEST_PAIRS, ["ratio_low", "ratio_high", "mde"]] = math.nan
    return result[list(SUMMARY_COLUMNS)]


def verdict(low: float, high: float, p: float, band: float, n: int) -> str:
    """slower, faster, equivalent or inconclusive; empty where there is nothing to compare.

    The interval decides against the band; a difference has to survive the correction for many comparisons, too, and
    from fewer than six pairs nothing is concluded.
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    if low == high == 1.0:
        return "equivalent"
    if n < FEWEST_PAIRS:
        return "inconclusive"
    if 1 / (1 + band) <= low and high <= 1 + band:
        return "equivalent"
    if low > 1 + band and p < SIGNIFICANCE:
        return "slower"
    if high < 1 / (1 + band) and p < SIGNIFICANCE:
        return "faster"
    return "inconclusive"


def differences(frame: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """What the first environment of each pair costs more than the second, per block: seconds or bytes, perhaps
    negative, with a 95 % interval (none from fewer than six blocks). One row per metric that both have."""
    wanted = list(pairs)
    rows = []
    for (scenario, metric), table in _tables(used(frame)):
        for upper, lower in wanted:
            if upper not in table.values or lower not in table.values:
                continue
            first, second = pair(*table.values[upper], *table.values[lower])
            found = interval(first - second)
            ends = (found.low, found.high) if found.n >= FEWEST_PAIRS else (math.nan, math.nan)
            if found.n:
                rows.append((scenario, metric, upper, lower, table.unit, found.n, found.centre, *ends))
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def ratio_interval(blocks: np.ndarray, values: np.ndarray, base: tuple[np.ndarray, np.ndarray]) -> Interval:
    """The interval of the log-ratio, pairs formed by block."""
    mine, theirs = pair(blocks, values, *base)
    return interval(log_ratios(mine, theirs))


class _Table:
    """All values of one metric: environment -> (blocks, values), blocks ascending."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.values: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.control: dict[str, bool] = {}


def _tables(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str], _Table]]:
    tables: dict[tuple[str, str], _Table] = {}
    grouped = frame.sort_values("block", kind="stable").groupby(
        ["scenario", "metric", "environment"], observed=True, sort=True
    )
    for key, part in grouped:
        scenario, metric, environment = map(str, key)
        table = tables.setdefault((scenario, metric), _Table(str(part["unit"].iloc[0])))
        table.values[environment] = (part["block"].to_numpy(), part["value"].to_numpy(dtype=np.float64))
        table.control[environment] = bool(part["control"].iloc[0])
    yield from tables.items()


def _describe(values: np.ndarray) -> dict[str, float]:
    q25, median, q75 = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "q25": float(q25), "q75": float(q75), "minimum": float(values.min())}


def _against(
    blocks: np.ndarray, values: np.ndarray, base: tuple[np.ndarray, np.ndarray] | None, itself: bool
) -> dict[str, float]:
    nothing = {**dict.fromkeys(("ratio", "ratio_low", "ratio_high", "p", "mde"), math.nan), "pairs": 0}
    if itself:
        return {**nothing, "ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0, "pairs": math.inf}
    if base is None:
        return nothing
    mine, theirs = pair(blocks, values, *base)
    logs = log_ratios(mine, theirs)
    found = interval(logs)
    if found.n == 0:
        return nothing
    half_width = (found.high - found.low) / 2
    return {
        "ratio": math.exp(found.centre),
        "ratio_low": math.exp(found.low),
        "ratio_high": math.exp(found.high),
        "p": p_value(logs),
        "mde": math.exp(half_width * _POWER_FACTOR) - 1,
        "pairs": found.n,
    }
