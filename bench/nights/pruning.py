"""Which runs lose their values, and what remains of them.

The newest runs of each machine keep their values, and so does every run that has a label or a tag. What remains of the
others is exactly what histories and comparisons read of a run, so that these stay the same.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import isobench
from isobench.analysis.results import Results
from isobench.core.errors import IsobenchError, StoreError
from isobench.nights import history
from isobench.nights.history import Point
from isobench.nights.trend import by_machine
from isobench.results import pruning, store
from isobench.results.record import CostRecord, LevelRecord, PrunedRecord, RatioRecord
from isobench.results.store import benchmark_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.analysis.results import Cost, Estimate
    from isobench.estimation.between import Level
    from isobench.nights.history import History
    from isobench.results.store import Run


class Pruned(NamedTuple):
    """A run that lost its values, or would lose them."""

    path: Path
    freed: int
    """Bytes; before it is done, those of its files."""


class Outcome(NamedTuple):
    """What pruning did to a results folder."""

    pruned: list[Pruned]
    named: int
    """Older runs that keep their values because they have a label or a tag."""
    left_alone: list[str]
    """Runs that are damaged, still being measured or not this user's, each with the reason."""
    failed: list[str]
    """Runs that could not be pruned, and why."""


def prune(results: Path, keep: int, *, dry_run: bool = False, only: str = "") -> Outcome:
    """Remove the values of all but the newest `keep` runs of each machine, or of the machine `only`."""
    found = history.read(results)
    named = 0
    done = Outcome([], 0, list(found.problems), [])
    for path in _older(results, found, keep, only):
        before, state = pruning.size(path), history.signature(path)
        try:
            run = store.load(path)
            pruning.check(path)
        except IsobenchError as error:
            done.left_alone.append(error.reason)
            continue
        if run.session.label or run.session.tags:
            named += 1
            continue
        try:
            if not dry_run:
                _prune(run, state)
        except IsobenchError as error:
            done.failed.append(error.reason)
        else:
            done.pruned.append(Pruned(path, before - (0 if dry_run else pruning.size(path))))
    return done._replace(named=named)


def _older(results: Path, found: History, keep: int, only: str) -> Iterator[Path]:
    """The folders of the older runs of each machine. A pruned one is among them if its suite is still there."""
    for machine, nights in by_machine(found.nights).items():
        for night in nights[:-keep] if only in ("", machine) else ():
            path = results / night.path
            if not night.pruned or (path / store.SUITE).exists():
                yield path


def _prune(run: Run, state: str) -> None:
    """Prune one run, whose files had this signature before they were read. Raises `IsobenchError`."""
    if run.session.pruned is not None:
        pruning.remove_suite(run.path)
        return
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = PrunedRecord(at, isobench.__version__, remains(Results(run)))
    if history.signature(run.path) != state:
        raise StoreError(f"{run.path} changed while it was read")
    pruning.prune(run.path, run.session, made)


def remains(results: Results) -> list[CostRecord]:
    """What remains of each cost that has a value, in the order of the run."""
    estimates = {(row.scenario, row.metric, row.environment): row for row in results.estimates}
    nights = {(one.scenario, one.metric, one.environment): one for one in history.points(results.run)}
    keys = [(one.scenario, one.metric, one.environment) for one in results.run.series]
    return [_remains(results, estimates[key], nights.get(key)) for key in keys if key in estimates]


def _remains(results: Results, row: Estimate, night: Point | None) -> CostRecord:
    """What remains of one cost; the control is in no history."""
    key = (row.scenario, row.metric, row.environment)
    if night is None:
        night = Point(*key, row.median, math.nan, row.unit)
    return CostRecord(
        benchmark_name(*key),
        row.unit,
        row.counted,
        row.median,
        row.q25,
        row.q75,
        row.minimum,
        (night.value, _some(night.ratio), _some(night.low), _some(night.high)),
        _ratio(row, results.costs[key]),
        _level(results.value_level(key)),
    )


def _ratio(row: Estimate, cost: Cost) -> RatioRecord | None:
    if not cost.pairs:
        return None
    return RatioRecord(
        cost.pairs,
        row.ratio,
        _some(row.ratio_low),
        _some(row.ratio_high),
        _some(row.p),
        _some(row.p_holm),
        _some(row.mde),
        _some(row.effective),
        cost.strayed,
        _level(cost.ratio),
    )


def _some(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _level(found: Level | None) -> LevelRecord | None:
    return LevelRecord(*found) if found is not None else None
