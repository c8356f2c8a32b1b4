"""The input of every section: the run, its frames, and shared look-ups."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import StoreError
from isobench.core.model import CONTROL_SUFFIX
from isobench.layout import format
from isobench.layout.blocks import Span
from isobench.report.flags import flags
from isobench.report.rungs import find_rungs
from isobench.results.record import machine
from isobench.results.store import find_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence
    from pathlib import Path

    from isobench.analysis.results import Difference, Estimate, Results
    from isobench.layout.blocks import Block, Span
    from isobench.results.record import EnvironmentRecord, MetricRecord, Session
    from isobench.results.store import Run

MOST_NIGHTS = 60
"""Runs that a trend reaches back."""


class Section(NamedTuple):
    """One part of the report. `build` returns no blocks if its data are absent; sections are sorted by `order`. `word`
    is its name in the navigation, if the title is long."""

    order: int
    anchor: str
    title: str
    build: Callable[[Context], list[Block]]
    word: str = ""
    complete: Callable[[Context, set[str]], list[Block]] | None = None
    """Returns further blocks once every section is built, given the costs (`SCENARIO.METRIC`) that these show."""


class Night(NamedTuple):
    """An earlier run of the same host, or this one: the estimates of a few metrics."""

    label: str
    day: float
    """Its start in days since 1970 UTC."""
    fingerprint: dict[str, str]
    estimates: list[Estimate]


@dataclass(frozen=True)
class Context:
    """One run, for the sections."""

    results: Results
    other: Results | None = None
    """A second run to compare with."""
    history: Path | None = None
    """The results folder of the run, for the trend; None if the run is not in one."""

    @property
    def run(self) -> Run:
        return self.results.run

    @property
    def session(self) -> Session:
        return self.results.session

    @property
    def baseline(self) -> str:
        return self.results.baseline

    @property
    def estimates(self) -> list[Estimate]:
        return self.results.estimates

    def environment(self, name: str) -> EnvironmentRecord | None:
        """The record of an environment; the control has that of the baseline."""
        return self._records.get(name.removesuffix(CONTROL_SUFFIX))

    @cached_property
    def _records(self) -> dict[str, EnvironmentRecord]:
        return {record.name: record for record in reversed(self.session.environments)}

    def title(self, name: str) -> str:
        """The title of an environment."""
        record = self.environment(name)
        title = format.clean(record.title, 60) if record and record.title else format.clean(name, 60)
        return f"{title} (A/A control)" if name.endswith(CONTROL_SUFFIX) else title

    def metric(self, scenario: str, metric: str) -> MetricRecord | None:
        """The run's record of a metric."""
        for record in self.session.scenarios:
            if record.name == scenario:
                return next((m for m in record.metrics if m.name == metric), None)
        return None

    def measured(self, names: Iterable[str]) -> list[str]:
        """These environments in the order of the record, the control last."""
        found = set(names)
        order = [e.name for e in self.session.environments if e.name in found]
        return order + sorted(found.difference(order))

    @cached_property
    def _by_scenario(self) -> dict[str, list[Estimate]]:
        grouped: dict[str, list[Estimate]] = {}
        for row in sorted(self.estimates, key=lambda row: self.order[row.environment]):
            grouped.setdefault(row.scenario, []).append(row)
        return grouped

    def select(self, scenario: str, metric: str | None = None, *, control: bool = False) -> list[Estimate]:
        """The estimates of a scenario (or of one metric of it), environments in order."""
        rows = self._by_scenario.get(scenario, [])
        return [row for row in rows if metric in (None, row.metric) and (control or not row.control)]

    def find(self, scenario: str, metric: str, environment: str) -> Estimate | None:
        """One estimate, or None where it was not measured."""
        return self._found.get((scenario, metric, environment))

    @cached_property
    def _found(self) -> dict[tuple[str, str, str], Estimate]:
        return {(row.scenario, row.metric, row.environment): row for row in reversed(self.estimates)}

    @cached_property
    def flagged(self) -> set[tuple[str, str]]:
        """Impossible numbers, by benchmark and environment."""
        return {(one, name) for one, _, name in (flag.benchmark.rpartition("/") for flag in flags(self))}

    @cached_property
    def order(self) -> dict[str, int]:
        """The place of each environment that was measured, in the order of the record."""
        return {name: place for place, name in enumerate(self.measured({row.environment for row in self.estimates}))}

    def metrics_of(self, scenario: str) -> list[str]:
        """The metrics of a scenario that have values, in the order of the record."""
        have = {row.metric for row in self.estimates if row.scenario == scenario}
        record = next((s for s in self.session.scenarios if s.name == scenario), None)
        order = [m.name for m in record.metrics if m.name in have] if record else []
        return order + sorted(have.difference(order))

    @cached_property
    def differences(self) -> list[Difference]:
        """Every rung of the ladder against the one beneath it, in every metric of the startup scenario."""
        return self.results.differences("startup", [(rung.upper, rung.lower) for rung in find_rungs(self)])

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str, str], Difference]:
        return {(d.scenario, d.metric, d.environment, d.compared_with): d for d in reversed(self.differences)}

    def difference(self, scenario: str, metric: str, upper: str, lower: str) -> Difference | None:
        """What one rung costs more than another, or None if that is unknown."""
        return self._differences.get((scenario, metric, upper, lower))

    def nights(self, metrics: Sequence[tuple[str, str]]) -> list[Night]:
        """These metrics in the newest runs of this machine up to this one, oldest first; damaged runs are left out."""
        from isobench.analysis.results import load  # numpy, too: sections of other packages import this module

        if self.history is None:
            return []
        ours = machine(self.session.host_id, self.session.fingerprint)
        here = self.run.path.resolve()
        folders = [path for path in find_runs(self.history) if path.parent == here.parent and path.name <= here.name]
        nights = []
        for folder in folders[-MOST_NIGHTS:]:
            try:
                results = load(folder)
                if machine(results.session.host_id, results.session.fingerprint) == ours:
                    nights.append(_night(results, metrics))
            except StoreError:
                continue
        return sorted((night for night in nights if math.isfinite(night.day)), key=lambda night: night.day)

    def values(self, scenario: str, metric: str, environment: str) -> tuple[list[int], list[float]]:
        """Blocks and values behind an estimate, in the order of the blocks; warm-up and marked blocks left out."""
        found = self.results.tables.get((scenario, metric), {}).get(environment)
        return ([], []) if found is None else (found.blocks.tolist(), found.values.tolist())


def _night(results: Results, metrics: Sequence[tuple[str, str]]) -> Night:
    session = results.session
    label = format.clean(session.started[:16].replace("T", " "))
    return Night(label, day_of(session.started), session.fingerprint, _of(results, set(metrics)))


def _of(results: Results, metrics: Container[tuple[str, str]]) -> list[Estimate]:
    """The estimates of these metrics; of a pruned run those that remain, which are corrected for all its costs."""
    if results.session.pruned is not None:
        return [one for one in results.estimates if (one.scenario, one.metric) in metrics]
    return results.only(metrics).estimates


def day_of(started: str) -> float:
    """Days since 1970 UTC of a stamp in ISO 8601; NaN for anything else."""
    try:
        return datetime.fromisoformat(started).timestamp() / 86400
    except ValueError:
        return math.nan


def verdict_span(row: Estimate) -> Span:
    """The verdict as a coloured word."""
    style = {"slower": "bad", "faster": "good", "equivalent": "good"}.get(row.verdict, "neutral")
    return Span(format.verdict(row.verdict, row.unit), style)  # type: ignore[arg-type]


def shade_of(row: Estimate) -> int:
    """The colour of a cell by the lower end of its interval; none without an interval."""
    return shade(row.ratio_low)


def shade(ratio: float) -> int:
    """How strongly a cell is coloured: one step at 1.05, 1.5, 5, 50 and 500 times the baseline."""
    return sum(ratio >= step for step in (1.05, 1.5, 5, 50, 500)) if ratio == ratio else 0
