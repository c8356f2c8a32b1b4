"""From samples to verdicts: every environment against the baseline, and rungs against each other.

The interval that is given decides the verdict, alone, so that the two cannot contradict each other. An interval that
leaves the band on its own has to hold together with all others that do: it is stretched until Holm's correction for
their number is in it, and is given so. What stays in the band, or reaches into it, claims no difference, and is given
with 95 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from isobench.core.model import BAND
from isobench.estimation import autocorrelation, paired
from isobench.estimation.autocorrelation import NONE
from isobench.estimation.distributions import NORMAL, binomial_tail
from isobench.estimation.paired import CONFIDENCE, FEWEST_PAIRS, SIGNIFICANCE, Interval, Ratio

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from isobench.estimation.autocorrelation import Correlation
    from isobench.estimation.tables import Tables, Values

IMPROBABLE = 0.001
"""Chance below which so many hits of the A/A control are taken for a fault of the method or of the host."""
_CONTROL_LEVEL = 0.01
"""Level, for all metrics together, at which one control by itself is taken for a fault."""
_POWER = 0.84
"""Deviations by which a true effect has to pass a limit to be found in 80 % of runs."""

SUMMARY_COLUMNS = (
    *("scenario", "metric", "environment", "unit", "n", "median", "q25", "q75", "minimum"),
    *("ratio", "ratio_low", "ratio_high", "p", "p_holm", "verdict", "mde", "control"),
    *("taken", "effective", "strayed"),
)
DIFFERENCE_COLUMNS = ("scenario", "metric", "environment", "compared_with", "unit", "n", "value", "low", "high")


def rows(
    found: Tables, baseline: str, band: float = BAND, *, ratios: Mapping[tuple[str, str, str], Ratio] | None = None
) -> list[dict[str, Any]]:
    """One row per metric and environment: absolute values, the paired ratio to the baseline with the interval that
    decides the verdict, and what stands behind them. `ratios` are those of `compared` where they are known.

    `n` counts pairs of blocks (for the baseline, and where there is nothing to compare, values) and `taken` values;
    `p` is of the paired test that the ratio is 1, `p_holm` of the claim that it lies beyond the band, after Holm;
    `mde` is the ratio less one that four of five such runs would call a difference; `effective` is how many independent
    blocks tell as much; `strayed` is the ratio by which the interval is wider on either side because the A/A control
    failed, 1 where it did not. The control itself is given with 95 % each.

    What the baseline does not have, or has in another unit, or what is not positive everywhere, has no ratio; a ratio
    of fewer than six pairs has no interval: none that they could give holds at 95 %. The baseline's own ratio is 1.
    """
    if ratios is None:
        ratios = compared(found, baseline)
    strayed = strayed_controls(found, ratios)
    edges = {key: math.log1p(band) + strayed.get(key[:2], 0.0) for key in ratios}
    claims = {key: paired.p_beyond(one.found, one.reach, edges[key]) for key, one in ratios.items()
              if not found[key[:2]][key[2]].control}  # fmt: skip
    adjusted = dict(zip(claims, paired.holm(np.array(list(claims.values()))), strict=True))
    level = paired.holm_level(np.array(list(claims.values())), SIGNIFICANCE)
    made = []
    for key, values in ((key, values) for key, environments in found.items() for values in environments.items()):
        made.append(_row(*key, *values))
        one = ratios.get((*key, values[0]))
        if values[0] == baseline:
            made[-1].update(ratio=1.0, ratio_low=1.0, ratio_high=1.0)
        elif one is not None and values[1].control:
            apart = math.log1p(band) + strayed.get(key, 0.0)
            made[-1].update(_told(one, math.inf, 0.0, level), p_holm=one.p, mde=_detectable(one, apart, level))
        elif one is not None:
            where = (*key, values[0])
            made[-1].update(_told(one, edges[where], strayed.get(key, 0.0), level), p_holm=adjusted[where])
    for row in made:
        row["verdict"] = verdict(row["ratio"], row["ratio_low"], row["ratio_high"], band)
    return [{key: row[key].item() if isinstance(row[key], np.generic) else row[key] for key in SUMMARY_COLUMNS}
            for row in made]  # fmt: skip


def verdict(ratio: float, low: float, high: float, band: float = BAND) -> str:
    """slower, faster, equivalent or inconclusive, by the interval alone; inconclusive where a ratio has no interval,
    empty where there is no ratio."""
    if math.isnan(ratio):
        return ""
    if low > 1 + band:
        return "slower"
    if high < 1 / (1 + band):
        return "faster"
    return "equivalent" if 1 / (1 + band) <= low and high <= 1 + band else "inconclusive"


def compared(found: Tables, baseline: str) -> dict[tuple[str, str, str], Ratio]:
    """Every environment against the baseline, block by block, wherever both have positive values in one unit."""
    logs = log_ratios(found, baseline)
    return dict(zip(logs, estimates(list(logs.values()), families_of(logs)), strict=True))


def log_ratios(found: Tables, baseline: str) -> dict[tuple[str, str, str], np.ndarray]:
    """The same as logarithms of the paired ratios, block by block."""
    logs = {}
    for (scenario, metric), environments in found.items():
        base = environments.get(baseline)
        for environment, values in environments.items():
            if base is not None and environment != baseline:
                ratio = log_ratio(values, base)
                if ratio is not None:
                    logs[scenario, metric, environment] = ratio
    return logs


def estimates(
    many: Sequence[np.ndarray], families: Sequence[Iterable[Hashable]] = (), known: Correlation = NONE
) -> list[Ratio]:
    """The estimate of each series of paired differences. Where neighbouring blocks resemble each other, in one series
    or in the middle of all or of its families, or as is known, an interval is as wide as the number of independent
    blocks asks for."""
    found = autocorrelation.correlations(many, families)
    return [_estimate(logs, max(one, known)) for logs, one in zip(many, found, strict=True)]


def families_of(costs: Iterable[Sequence[str]]) -> list[tuple[Hashable, Hashable]]:
    """What may wander by itself: a cost's environment, and its metric. A cost begins with scenario, metric and
    environment."""
    return [(cost[2], (cost[0], cost[1])) for cost in costs]


def gaps(known: Tables, pairs: Iterable[tuple[str, str]], wanders: Correlation = NONE) -> list[tuple[Any, ...]]:
    """What the first environment of each pair costs more than the second, per block: seconds or bytes, perhaps
    negative, with a 95 % interval (none from fewer than six blocks). `wanders` is how much neighbouring blocks of the
    run resemble each other. One row per metric that both have, with the columns of `DIFFERENCE_COLUMNS`."""
    wanted = list(pairs)
    which, each = [], []
    for (scenario, metric), environments in known.items():
        for upper, lower in wanted:
            first, second = environments.get(upper), environments.get(lower)
            if first is None or second is None or first.unit != second.unit:
                continue
            gap = np.subtract(*paired.pair(first.blocks, first.values, second.blocks, second.values))
            if len(gap):
                which.append((scenario, metric, upper, lower, first.unit, len(gap)))
                each.append(gap)
    families = [(row[2:4], row[:2]) for row in which]  # a dozen blocks alone hardly tell drift from chance
    found = [one.found for one in estimates(each, families, wanders)]
    return [(*row, float(one.centre), *map(float, _ends(one))) for row, one in zip(which, found, strict=True)]


def ratio_interval(values: Mapping[int, float], base: Mapping[int, float]) -> Interval:
    """The interval of the log-ratio of values by block, pairs formed by block; its ends are NaN for fewer than six."""
    mine, theirs = ((np.array(list(one)), np.array(list(one.values()))) for one in (values, base))
    return centred(paired.log_ratios(*paired.pair(*mine, *theirs)))


def centred(values: Sequence[float] | np.ndarray, wanders: Correlation = NONE) -> Interval:
    """The interval of one series of paired differences, in a run of which that is known; its ends are NaN for fewer
    than six."""
    (one,) = estimates([np.asarray(values, dtype=np.float64)], known=wanders)
    low, high = _ends(one.found)
    return one.found._replace(low=low, high=high)


def log_ratio(values: Values, base: Values) -> np.ndarray | None:
    """Logarithms of the paired ratios; None where there is no pair, where the units differ, or where a value is not
    positive: to leave such blocks out would say that the others are all there is."""
    if values.unit != base.unit:
        return None
    logs = paired.log_ratios(*paired.pair(values.blocks, values.values, base.blocks, base.values))
    return logs if len(logs) else None


def control_failed(hits: int, metrics: int) -> bool:
    """Whether the baseline against itself differs in so many metrics that it is no chance: binomial, at 5 % each."""
    return metrics > 0 and hits > 0 and binomial_tail(hits, metrics, SIGNIFICANCE) < IMPROBABLE


def _estimate(logs: np.ndarray, correlated: Correlation) -> Ratio:
    blocks = autocorrelation.effective(len(logs), correlated.likely)
    found = paired.interval(logs)
    most = paired.most(logs, found.centre, correlated.at_most)
    found = paired.widened(found, blocks, most)
    p = paired.p_value(logs)
    if found.n >= FEWEST_PAIRS and found.low <= 0 <= found.high:
        p = max(p, np.nextafter(SIGNIFICANCE, 1))  # what is widened over 1 is no hit
    return Ratio(found, paired.reach(logs, found, blocks, most), p)


def strayed_controls(found: Tables, ratios: Mapping[tuple[str, str, str], Ratio]) -> dict[tuple[str, str], float]:
    """By metric how far (in logarithms) the baseline's second copy strays, where it shows that something is wrong:
    in this metric by itself, or in so many that it is no chance. The far end of its interval, for a centre can be near
    zero by luck."""
    controls = {key[:2]: one for key, one in ratios.items()
                if found[key[:2]][key[2]].control and one.found.n >= FEWEST_PAIRS}  # fmt: skip
    hits = [key for key, one in controls.items() if not one.found.low <= 0 <= one.found.high]
    if control_failed(len(hits), len(controls)):
        failing = set(controls)
    else:
        level = _CONTROL_LEVEL / max(1, len(controls))
        failing = {key for key in hits if paired.p_beyond(controls[key].found, controls[key].reach, 0.0) < level}
    return {key: max(abs(controls[key].found.low), abs(controls[key].found.high)) for key in failing}


def _told(one: Ratio, edge: float, strayed: float, level: float) -> dict[str, float]:
    """The row's numbers: the interval at 95 %, or at `level` where it would claim a difference."""
    found = one.found
    told: dict[str, float] = {"ratio": _exp(found.centre), "p": one.p, "n": found.n, "effective": one.reach.effective}
    if found.n < FEWEST_PAIRS:
        return told
    if found.low > edge or found.high < -edge:
        found = paired.stretched(found, one.reach, level)
    return told | {
        "ratio_low": _exp(found.low - strayed),
        "ratio_high": _exp(found.high + strayed),
        "mde": _detectable(one, edge, level),
        "strayed": _exp(strayed),
    }


def _detectable(one: Ratio, edge: float, level: float) -> float:
    """The ratio less one that four of five runs would call a difference: beyond the band, after the correction."""
    if one.found.n < FEWEST_PAIRS:
        return math.nan
    wide = paired.stretched(one.found, one.reach, level)
    half, deviation = (wide.high - wide.low) / 2, (one.found.high - one.found.low) / 2
    deviation /= NORMAL.inv_cdf((1 + CONFIDENCE) / 2)
    varies = half / math.sqrt(max(one.reach.effective - 1, 1.0))  # the next run's interval has another width
    return math.expm1(min(700.0, edge + half + _POWER * math.hypot(deviation, varies)))


def _row(scenario: str, metric: str, environment: str, values: Values) -> dict[str, Any]:
    """A row before anything is compared."""
    q25, median, q75 = np.percentile(values.values, [25, 50, 75])
    return {
        "scenario": scenario, "metric": metric, "environment": environment, "unit": values.unit,
        "n": len(values.values), "taken": len(values.values), "median": float(median), "q25": float(q25),
        "q75": float(q75), "minimum": float(values.values.min()), "control": values.control, "strayed": 1.0,
        **dict.fromkeys(("ratio", "ratio_low", "ratio_high", "p", "p_holm", "mde", "effective"), math.nan),
    }  # fmt: skip


def _exp(log: float) -> float:
    return math.exp(min(log, 700.0))


def _ends(found: Interval) -> tuple[float, float]:
    return (found.low, found.high) if found.n >= FEWEST_PAIRS else (math.nan, math.nan)
