"""From samples to verdicts: every environment relative to the baseline, and differences of rungs.

The printed interval alone decides the verdict, so that the two cannot contradict each other. Intervals outside the band
have to hold jointly: each is stretched until it includes Holm's correction for their number, and is printed that way.
An interval that lies in the band, or reaches into it, claims no difference, and is printed at 95 %.
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
"""Probability below which so many differences of the A/A control count as a fault of the method or of the host."""
_CONTROL_LEVEL = 0.01
"""Level, for all metrics together, at which a single control counts as failed."""
_POWER = 0.84
"""Standard deviations by which a true effect has to exceed a limit to be found in 80 % of runs."""

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
    decides the verdict, and the numbers behind them. `ratios` are those of `compared`, if already computed.

    `n` counts pairs of blocks (for the baseline, and without a ratio, values) and `taken` values; `p` is that of the
    paired test that the ratio is 1, `p_holm` that of the claim that it lies beyond the band, after Holm's correction;
    `mde` is the smallest effect, as ratio less one, that four of five such runs would detect; `effective` is the
    effective number of independent blocks; `strayed` is the factor by which a failed A/A control widens the interval on
    either side, 1 if it passed. The control's own intervals are at 95 % each.

    A cost has no ratio if the baseline lacks it or has it in another unit, or if a value is not positive. A ratio from
    fewer than six pairs has no interval, because none would reach 95 %. The baseline's own ratio is 1.
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
    """slower, faster, equivalent or inconclusive, by the interval alone; inconclusive if a ratio has no interval, empty
    if there is no ratio."""
    if math.isnan(ratio):
        return ""
    if low > 1 + band:
        return "slower"
    if high < 1 / (1 + band):
        return "faster"
    return "equivalent" if 1 / (1 + band) <= low and high <= 1 + band else "inconclusive"


def compared(found: Tables, baseline: str) -> dict[tuple[str, str, str], Ratio]:
    """Every environment relative to the baseline, block by block, if both have positive values in one unit."""
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
    """The estimate of each series of paired differences. Intervals are widened for autocorrelation: of the series
    itself, the median of all, that of its families, or the `known` one of the run."""
    found = autocorrelation.correlations(many, families)
    return [_estimate(logs, max(one, known)) for logs, one in zip(many, found, strict=True)]


def families_of(costs: Iterable[Sequence[str]]) -> list[tuple[Hashable, Hashable]]:
    """The families of each cost that may drift by themselves: its environment, and its metric. A cost begins with
    scenario, metric and environment."""
    return [(cost[2], (cost[0], cost[1])) for cost in costs]


def gaps(known: Tables, pairs: Iterable[tuple[str, str]], wanders: Correlation = NONE) -> list[tuple[Any, ...]]:
    """What the first environment of each pair costs more than the second, per block: seconds or bytes, possibly
    negative, with a 95 % interval (none for fewer than six blocks). `wanders` is the autocorrelation of the run's
    blocks. One row per metric that both have, with the columns of `DIFFERENCE_COLUMNS`."""
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
    families = [(row[2:4], row[:2]) for row in which]  # a dozen blocks of one cost hardly distinguish drift from chance
    found = [one.found for one in estimates(each, families, wanders)]
    return [(*row, float(one.centre), *map(float, _ends(one))) for row, one in zip(which, found, strict=True)]


def ratio_interval(values: Mapping[int, float], base: Mapping[int, float]) -> Interval:
    """The interval of the log-ratio of values, paired by block; its ends are NaN for fewer than six."""
    mine, theirs = ((np.array(list(one)), np.array(list(one.values()))) for one in (values, base))
    return centred(paired.log_ratios(*paired.pair(*mine, *theirs)))


def centred(values: Sequence[float] | np.ndarray, wanders: Correlation = NONE) -> Interval:
    """The interval of one series of paired differences, in a run whose blocks have this autocorrelation; its ends are
    NaN for fewer than six."""
    (one,) = estimates([np.asarray(values, dtype=np.float64)], known=wanders)
    low, high = _ends(one.found)
    return one.found._replace(low=low, high=high)


def log_ratio(values: Values, base: Values) -> np.ndarray | None:
    """Logarithms of the paired ratios; None if there is no pair, if the units differ, or if a value is not positive:
    leaving out such blocks would bias the rest."""
    if values.unit != base.unit:
        return None
    logs = paired.log_ratios(*paired.pair(values.blocks, values.values, base.blocks, base.values))
    return logs if len(logs) else None


def control_failed(hits: int, metrics: int) -> bool:
    """Whether the baseline differs from itself in more metrics than chance explains: binomial, at 5 % each."""
    return metrics > 0 and hits > 0 and binomial_tail(hits, metrics, SIGNIFICANCE) < IMPROBABLE


def _estimate(logs: np.ndarray, correlated: Correlation) -> Ratio:
    blocks = autocorrelation.effective(len(logs), correlated.likely)
    found = paired.interval(logs)
    most = paired.most(logs, found.centre, correlated.at_most)
    found = paired.widened(found, blocks, most)
    p = paired.p_value(logs)
    if found.n >= FEWEST_PAIRS and found.low <= 0 <= found.high:
        p = max(p, np.nextafter(SIGNIFICANCE, 1))  # an interval that was widened to include 1 is not a hit
    return Ratio(found, paired.reach(logs, found, blocks, most), p)


def strayed_controls(found: Tables, ratios: Mapping[tuple[str, str, str], Ratio]) -> dict[tuple[str, str], float]:
    """For each metric with a failed control, how far (in logarithms) the baseline's second copy deviates: failed in
    this metric alone, or in more metrics than chance explains. It is the far end of the interval, because a centre can
    be near zero by chance."""
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
    """The row's numbers: the interval at 95 %, or at `level` if it would claim a difference."""
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
    """The smallest effect, as ratio less one, that four of five runs would detect: beyond the band, after the
    correction."""
    if one.found.n < FEWEST_PAIRS:
        return math.nan
    wide = paired.stretched(one.found, one.reach, level)
    half, deviation = (wide.high - wide.low) / 2, (one.found.high - one.found.low) / 2
    deviation /= NORMAL.inv_cdf((1 + CONFIDENCE) / 2)
    varies = half / math.sqrt(max(one.reach.effective - 1, 1.0))  # the next run's interval will have another width
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
