"""One run, loaded once and summarised once: its report, exports, comparisons and closing summary all read this object.

Everything is computed on first use, and kept; nothing changes afterwards.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from isobench.analysis import verdicts
from isobench.core.errors import StoreError
from isobench.core.model import CONTROL_SUFFIX
from isobench.estimation import autocorrelation, between, paired, tables
from isobench.estimation.between import Level
from isobench.results import store
from isobench.results.suite import named

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

    import pandas as pd

    from isobench.estimation.autocorrelation import Correlation
    from isobench.estimation.paired import Ratio
    from isobench.estimation.tables import Tables
    from isobench.results.record import CostRecord, LevelRecord, Session
    from isobench.results.store import Run

    Key = tuple[str, str, str]
    """Scenario, metric, environment."""


class Estimate(NamedTuple):
    """One metric in one environment, absolute (seconds or bytes) and relative to the baseline: `verdicts.rows`
    describes each number."""

    scenario: str
    metric: str
    environment: str
    unit: Literal["second", "byte"]
    n: int
    median: float
    q25: float
    q75: float
    minimum: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p: float
    p_holm: float
    verdict: str
    mde: float
    control: bool
    taken: int = 0
    """Number of values; `n` counts pairs of blocks if there is a baseline to compare with."""
    effective: float = math.nan
    """The effective number of independent blocks among these pairs."""
    strayed: float = 1.0
    """The factor by which a failed A/A control widens the interval on either side."""

    @property
    def name(self) -> str:
        return f"{self.scenario}.{self.metric}"

    @property
    def counted(self) -> int:
        """The number of values behind the median; `n` may be smaller, since it counts pairs."""
        return self.taken or self.n


class Difference(NamedTuple):
    """What one environment costs more than the one it is compared with, paired by block (seconds or bytes)."""

    scenario: str
    metric: str
    environment: str
    compared_with: str
    unit: str
    n: int
    value: float
    low: float
    high: float


class Cost(NamedTuple):
    """One cost of a run, for comparisons with other runs."""

    unit: str
    control: bool
    median: float
    taken: int
    """Values."""
    pairs: int
    """Blocks behind its ratio to the baseline; 0 if it has none."""
    ratio: Level | None
    """None for fewer than six pairs."""
    strayed: float
    """By how much (a logarithm) a failed A/A control widens the ratio's interval."""


class Results:
    """A run and everything that is computed from it. A pruned run has only `estimates`, `costs` and `value_level`;
    whatever needs the values raises `StoreError`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._pruned = run.session.pruned

    @property
    def session(self) -> Session:
        return self.run.session

    @property
    def baseline(self) -> str:
        return self.run.session.baseline

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Every sample, one row each, including excluded ones (ARCHITECTURE.md describes the columns)."""
        from isobench.analysis import frames

        return frames.samples(self._with_values())

    @cached_property
    def tables(self) -> Tables:
        """The values that count, by metric and environment."""
        return tables.from_run(self._with_values())

    def _with_values(self) -> Run:
        if self._pruned is not None:
            raise StoreError(
                f"{self.run.path}: its values were pruned on {self._pruned.at[:10]}; its estimates remain",
                remedy="trend, site, compare and most formats of export can still use it",
            )
        return self.run

    @cached_property
    def ratios(self) -> dict[tuple[str, str, str], Ratio]:
        """Every environment relative to the baseline, by (scenario, metric, environment)."""
        return verdicts.compared(self.tables, self.baseline)

    @cached_property
    def wanders(self) -> Correlation:
        """The autocorrelation of this run's blocks, from all its costs together."""
        return autocorrelation.common(list(verdicts.log_ratios(self.tables, self.baseline).values()))

    @cached_property
    def estimates(self) -> list[Estimate]:
        """The summary: every metric in every environment, including the control."""
        if self._pruned is not None:
            found = [_recorded(one, self.baseline) for one in self._pruned.costs]
            return sorted(found, key=lambda row: (row.scenario, row.metric, row.environment))
        return [Estimate(**row) for row in verdicts.rows(self.tables, self.baseline, ratios=self.ratios)]

    @cached_property
    def costs(self) -> dict[Key, Cost]:
        """Every cost, including the control's."""
        if self._pruned is not None:
            return {_key(one): _recorded_cost(one) for one in self._pruned.costs}
        strayed = verdicts.strayed_controls(self.tables, self.ratios)
        found = {}
        for pair, environments in self.tables.items():
            for name, values in environments.items():
                one = self.ratios.get((*pair, name))
                ratio = between.level(one) if one is not None else None
                pairs = one.found.n if one is not None else 0
                middle, taken = paired.median(values.values), len(values.values)
                found[*pair, name] = Cost(
                    values.unit, values.control, middle, taken, pairs, ratio, strayed.get(pair, 0.0)
                )
        return found

    def value_level(self, key: Key) -> Level | None:
        """The level of a cost's values, regardless of the baseline's; None if one is not positive, or for fewer than
        six. The autocorrelation is estimated jointly for the costs without a ratio, such as the baseline's, and for all
        others."""
        if self._pruned is not None:
            return self._recorded_levels[key]
        found = self._value_levels if self.costs[key].pairs else self._value_levels_without_ratio
        return found[key]

    @cached_property
    def _recorded_levels(self) -> dict[Key, Level | None]:
        costs = self._pruned.costs if self._pruned is not None else ()
        return {_key(one): _level(one.level) for one in costs}

    @cached_property
    def _value_levels(self) -> dict[Key, Level | None]:
        return self._levels_of(list(self.costs))

    @cached_property
    def _value_levels_without_ratio(self) -> dict[Key, Level | None]:
        return self._levels_of([key for key, cost in self.costs.items() if not cost.pairs])

    def _levels_of(self, keys: list[Key]) -> dict[Key, Level | None]:
        values = [self.tables[key[:2]][key[2]].values for key in keys]
        logs = [paired.log_ratios(one, np.ones(len(one))) for one in values]
        found = verdicts.estimates(logs, verdicts.families_of(keys))
        return dict(zip(keys, map(between.level, found), strict=True))

    def differences(self, scenario: str, pairs: Iterable[tuple[str, str]]) -> list[Difference]:
        """What the first environment of each pair costs more than the second, in every metric of a scenario."""
        chosen = {key: values for key, values in self.tables.items() if key[0] == scenario}
        return [Difference(*row) for row in verdicts.gaps(chosen, pairs, self.wanders)]

    def only(self, metrics: Container[tuple[str, str]]) -> Results:
        """The same run with these (scenario, metric) alone."""
        series = [one for one in self.run.series if (one.scenario, one.metric) in metrics]
        return Results(self.run._replace(series=series))


def load(path: Path) -> Results:
    """The run in a folder. Raises `StoreError` if it cannot be read."""
    return Results(store.load(path))


def _key(cost: CostRecord) -> Key:
    one = named(cost.name, cost.unit)
    return one.scenario, one.metric, one.environment


def _level(found: LevelRecord | None) -> Level | None:
    return Level(found.centre, found.error, found.effective) if found is not None else None


def _recorded_cost(cost: CostRecord) -> Cost:
    ratio, control = cost.ratio, cost.name.endswith(CONTROL_SUFFIX)
    if ratio is None:
        return Cost(cost.unit, control, cost.median, cost.taken, 0, None, 0.0)
    return Cost(cost.unit, control, cost.median, cost.taken, ratio.n, _level(ratio.level), ratio.strayed)


def _recorded(cost: CostRecord, baseline: str) -> Estimate:
    """An estimate as `verdicts.rows` made it when the run still had its values."""
    scenario, metric, environment = _key(cost)
    control = environment.endswith(CONTROL_SUFFIX)
    ratio = 1.0 if environment == baseline else math.nan
    found = Estimate(
        scenario, metric, environment, cost.unit, cost.taken, cost.median, cost.q25, cost.q75, cost.minimum,
        ratio, ratio, ratio, math.nan, math.nan, "", math.nan, control, cost.taken,
    )  # fmt: skip
    one = cost.ratio
    if one is not None:
        found = found._replace(
            n=one.n,
            ratio=one.ratio,
            ratio_low=_known(one.low),
            ratio_high=_known(one.high),
            p=_known(one.p),
            p_holm=_known(one.p_holm),
            mde=_known(one.mde),
            effective=_known(one.effective),
            strayed=math.exp(one.strayed) if one.low is not None and not control else 1.0,
        )
    return found._replace(verdict=verdicts.verdict(found.ratio, found.ratio_low, found.ratio_high))


def _known(number: float | None) -> float:
    return math.nan if number is None else number
