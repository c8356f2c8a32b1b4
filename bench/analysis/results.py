"""One run, loaded once and summarised once: what its report, its exports, its comparisons and its last words all read.

What is asked for is computed when it is first asked for, and kept. Nothing here changes afterwards.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from isobench.analysis import autocorrelation, tables, verdicts
from isobench.results import store

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

    import pandas as pd

    from isobench.analysis.autocorrelation import Correlation
    from isobench.analysis.tables import Tables
    from isobench.results.record import Session
    from isobench.results.store import Run


class Estimate(NamedTuple):
    """One metric in one environment, absolute (seconds or bytes) and against the baseline: `verdicts.rows` says what
    each number is."""

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
    """Values; `n` counts pairs of blocks where there is something to compare."""
    effective: float = math.nan
    """How many independent blocks tell as much as these pairs."""
    strayed: float = 1.0
    """By what ratio the interval is wider on either side because the A/A control failed."""

    @property
    def name(self) -> str:
        return f"{self.scenario}.{self.metric}"

    @property
    def counted(self) -> int:
        """Values behind the median; `n` may be fewer, as it counts pairs."""
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


class Results:
    """A run and what follows from it."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def session(self) -> Session:
        return self.run.session

    @property
    def baseline(self) -> str:
        return self.run.session.baseline

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Every sample, one row each, those that do not count among them (ARCHITECTURE.md describes the columns)."""
        from isobench.analysis import frames

        return frames.samples(self.run)

    @cached_property
    def tables(self) -> Tables:
        """The values that count, by metric and environment."""
        return tables.from_run(self.run)

    @cached_property
    def ratios(self) -> dict[tuple[str, str, str], verdicts.Ratio]:
        """Every environment against the baseline, as (scenario, metric, environment)."""
        return verdicts.compared(self.tables, self.baseline)

    @cached_property
    def wanders(self) -> Correlation:
        """How much neighbouring blocks of this run resemble each other, as all its costs show together."""
        return autocorrelation.common(list(verdicts.log_ratios(self.tables, self.baseline).values()))

    @cached_property
    def estimates(self) -> list[Estimate]:
        """The summary: every metric in every environment, the control's among them."""
        return [Estimate(**row) for row in verdicts.rows(self.tables, self.baseline, ratios=self.ratios)]

    def differences(self, scenario: str, pairs: Iterable[tuple[str, str]]) -> list[Difference]:
        """What the first environment of each pair costs more than the second, in every metric of a scenario."""
        chosen = {key: values for key, values in self.tables.items() if key[0] == scenario}
        return [Difference(*row) for row in verdicts.gaps(chosen, pairs, self.wanders)]

    def only(self, metrics: Container[tuple[str, str]]) -> Results:
        """The same run with these (scenario, metric) alone."""
        series = [one for one in self.run.series if (one.scenario, one.metric) in metrics]
        return Results(self.run._replace(series=series))


def load(path: Path) -> Results:
    """The run in a folder. Raises `StoreError` where it cannot be read."""
    return Results(store.load(path))
