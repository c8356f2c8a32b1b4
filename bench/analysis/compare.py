"""Two runs against each other: what got slower or faster from the one to the other, and how sure that is.

Runs share no blocks, so the values are two independent samples. On one host the costs themselves are compared; across
hosts each cost's per-block ratio to its own run's baseline. The estimate is Hodges-Lehmann's shift of the logarithms
(the median of all differences of two values, one of each run), its interval inverts the Mann-Whitney test: Hollander,
Wolfe, Chicken, Nonparametric Statistical Methods (2013), sections 4.2 and 4.3.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np
from scipy import stats

from bench.analysis.frames import samples, used
from bench.analysis.paired import CONFIDENCE, FEWEST_PAIRS, SIGNIFICANCE, Interval, holm, interval, log_ratios, pair
from bench.analysis.verdicts import BAND, verdict
from bench.errors import UsageError
from bench.model import CONTROL_SUFFIX

if TYPE_CHECKING:
    import pandas as pd

    from bench.store import Run

SCHEMA = 1
"""Version of the document; raised when a field changes its meaning."""
_MOST_PAIRS = 400
"""Values of a run that enter the estimate; of more, evenly spaced quantiles do as well."""


class Change(msgspec.Struct, frozen=True):
    """One cost in both runs. `ratio` is B to A: above 1, B costs more. `low` and `high` hold it with 95 %."""

    scenario: str
    metric: str
    environment: str
    unit: Literal["second", "byte"]
    n_a: int
    n_b: int
    a: float
    """Median in run A, seconds or bytes (across hosts: too, but what is compared is the ratio to the baseline)."""
    b: float
    ratio: float
    low: float
    high: float
    p: float
    """Welch's t-test on the logarithms."""
    p_adjusted: float
    """After Holm, over all costs of the comparison."""
    noise: float
    """How far the baseline's second copy strayed from the baseline in this metric, in either run: a ratio above 1."""
    verdict: Literal["slower", "faster", "equivalent", "inconclusive"]
    confirmed: bool
    """Slower or faster by interval and adjusted p, and by more than the noise: significance, size and noise agree."""


class RunName(msgspec.Struct, frozen=True):
    """One of the two runs."""

    path: str
    run_id: str
    host_id: str
    started: str


class Comparison(msgspec.Struct, frozen=True):
    """What `isobench compare --json` prints (docs/compare.schema.json)."""

    schema: int
    a: RunName
    b: RunName
    compared: Literal["values", "ratios to the baseline"]
    band: float
    """Equivalent means: the whole interval lies within this share of 1."""
    differing: dict[str, tuple[str, str]]
    """Facts of the hosts' fingerprints that differ, A's and B's."""
    only_in_a: list[str]
    only_in_b: list[str]
    changes: list[Change]


class _Cost(NamedTuple):
    unit: str
    median: float
    logs: np.ndarray
    """What is compared: logarithms of the values, or of their ratios to the baseline."""


def compare(a: Run, b: Run, *, band: float = BAND, across_hosts: bool = False) -> Comparison:
    """Hold run `b` against run `a`. Raises `UsageError` for runs of two hosts without `across_hosts`, or for two
    baselines where ratios are compared."""
    one, two = a.session, b.session
    if one.host_id != two.host_id and not across_hosts:
        raise UsageError(
            f"the runs are of two hosts ({one.host_id}, {two.host_id})",
            remedy="--across-hosts compares ratios to each run's own baseline",
        )
    if across_hosts and one.baseline != two.baseline:
        raise UsageError(
            f"the runs have two baselines ({one.baseline}, {two.baseline}): their ratios differ in meaning"
        )
    costs_a, noise_a = _costs(a, across_hosts)
    costs_b, noise_b = _costs(b, across_hosts)
    shared = sorted(costs_a.keys() & costs_b.keys())
    shifts = [shift(costs_b[key].logs, costs_a[key].logs) for key in shared]
    tests = np.array([welch(costs_b[key].logs, costs_a[key].logs) for key in shared])
    adjusted = holm(tests)
    changes = [
        _change(key, costs_a[key], costs_b[key], found, float(p), float(p_adjusted), band,
                max(noise_a.get(key[:2], 0.0), noise_b.get(key[:2], 0.0)))
        for key, found, p, p_adjusted in zip(shared, shifts, tests, adjusted, strict=True)
    ]  # fmt: skip
    keys = sorted(one.fingerprint.keys() | two.fingerprint.keys())
    facts = {key: (one.fingerprint.get(key, ""), two.fingerprint.get(key, "")) for key in keys}
    return Comparison(
        schema=SCHEMA,
        a=RunName(str(a.path), one.run_id, one.host_id, one.started),
        b=RunName(str(b.path), two.run_id, two.host_id, two.started),
        compared="ratios to the baseline" if across_hosts else "values",
        band=band,
        differing={key: pair for key, pair in facts.items() if pair[0] != pair[1]},
        only_in_a=sorted("/".join(key) for key in costs_a.keys() - costs_b.keys()),
        only_in_b=sorted("/".join(key) for key in costs_b.keys() - costs_a.keys()),
        changes=changes,
    )


def shift(mine: np.ndarray, theirs: np.ndarray) -> Interval:
    """How far `mine` lies above `theirs` (Hodges-Lehmann), and the 95 % interval by inverting Mann-Whitney's test."""
    n, m = len(mine), len(theirs)
    first, second = _thinned(mine), _thinned(theirs)
    if min(n, m) == 0:
        return Interval(math.nan, math.nan, math.nan, 0.0, 0)
    gaps = np.sort(np.subtract.outer(first, second), axis=None)
    centre = float(np.median(gaps))
    if min(n, m) < FEWEST_PAIRS:
        return Interval(centre, float(gaps[0]), float(gaps[-1]), 0.0, min(n, m))
    reach = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((n + m + 1) / (12 * n * m))  # as a share of n m pairs
    rank = max(0, math.floor((0.5 - reach) * len(gaps)) - 1)
    return Interval(centre, float(gaps[rank]), float(gaps[len(gaps) - 1 - rank]), CONFIDENCE, min(n, m))


def welch(mine: np.ndarray, theirs: np.ndarray) -> float:
    """p of Welch's t-test, two-sided; 1.0 from fewer than two values, 0.0 for two different constants."""
    if min(len(mine), len(theirs)) < 2:
        return 1.0
    if np.ptp(mine) == 0 and np.ptp(theirs) == 0:
        return 1.0 if mine[0] == theirs[0] else 0.0
    with warnings.catch_warnings():  # scipy warns of nearly equal values, and is right enough about them
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_ind(mine, theirs, equal_var=False).pvalue)


def _change(
    key: tuple[str, str, str], a: _Cost, b: _Cost, found: Interval, p: float, adjusted: float, band: float, noise: float
) -> Change:
    low, high = math.exp(found.low), math.exp(found.high)
    words = verdict(math.exp(found.centre), low, high, band)
    if found.n < FEWEST_PAIRS or (adjusted >= SIGNIFICANCE and words in ("slower", "faster")):
        words = "inconclusive"
    sure = words in ("slower", "faster") and abs(found.centre) > noise
    document = dict(zip(("scenario", "metric", "environment"), key, strict=True)) | {
        "unit": a.unit, "n_a": len(a.logs), "n_b": len(b.logs), "a": a.median, "b": b.median,
        "ratio": math.exp(found.centre), "low": low, "high": high, "p": p, "p_adjusted": adjusted,
        "noise": math.exp(noise), "verdict": words or "inconclusive", "confirmed": sure,
    }  # fmt: skip
    return msgspec.convert(document, Change)


def _costs(run: Run, relative: bool) -> tuple[dict[tuple[str, str, str], _Cost], dict[tuple[str, str], float]]:
    """The costs of a run, and by metric how far (in logarithms) its second baseline may have strayed from the
    first: the far end of the interval, for a centre can be near zero by luck."""
    frame = used(samples(run))
    baseline = run.session.baseline
    values = {key: (blocks, numbers, unit) for key, blocks, numbers, unit in _series(frame)}
    costs: dict[tuple[str, str, str], _Cost] = {}
    noise: dict[tuple[str, str], float] = {}
    for (scenario, metric, environment), (blocks, numbers, unit) in values.items():
        base = values.get((scenario, metric, baseline))
        if environment == baseline + CONTROL_SUFFIX:
            if base is not None:
                mine, theirs = pair(blocks, numbers, base[0], base[1])
                strayed = interval(log_ratios(mine, theirs))
                noise[scenario, metric] = max(abs(strayed.low), abs(strayed.high)) if strayed.n else 0.0
            continue
        if not relative:
            logs = log_ratios(numbers, np.ones_like(numbers))
            costs[scenario, metric, environment] = _Cost(unit, float(np.median(numbers)), logs)
        elif base is not None and environment != baseline:
            mine, theirs = pair(blocks, numbers, base[0], base[1])
            costs[scenario, metric, environment] = _Cost(unit, float(np.median(numbers)), log_ratios(mine, theirs))
    return costs, noise


def _series(frame: pd.DataFrame) -> list[tuple[tuple[str, str, str], np.ndarray, np.ndarray, str]]:
    """Key, blocks, values and unit of every series, blocks ascending."""
    groups = frame.sort_values("block", kind="stable").groupby(
        ["scenario", "metric", "environment"], observed=True, sort=True
    )
    return [
        (
            (str(key[0]), str(key[1]), str(key[2])),
            part["block"].to_numpy(),
            part["value"].to_numpy(dtype=np.float64),
            str(part["unit"].iloc[0]),
        )
        for key, part in groups
        if isinstance(key, tuple)
    ]


def _thinned(values: np.ndarray) -> np.ndarray:
    if len(values) <= _MOST_PAIRS:
        return values
    return np.asarray(np.quantile(values, (np.arange(_MOST_PAIRS) + 0.5) / _MOST_PAIRS))
