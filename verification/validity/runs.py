"""Synthetic runs with known costs, for the promises about verdicts, comparisons and sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isobench.analysis.results import Results
from isobench.core.model import CONTROL_SUFFIX
from isobench.report.context import Context
from isobench.results.record import SCHEMA, BlockRecord, EnvironmentRecord, MetricRecord, ScenarioRecord, Session
from isobench.results.store import Run, Series
from verification.validity.noise import QUIET, STEADY

if TYPE_CHECKING:
    from collections.abc import Mapping

Costs = dict[str, np.ndarray]
"""Environment -> logarithms of one metric's values, block by block."""
BASELINE = "process"
CONTROL = BASELINE + CONTROL_SUFFIX


def quiet(
    random: np.random.Generator, environments: int, blocks: int, scale: float, kind: str = "normal"
) -> dict[str, np.ndarray]:
    """One metric in the baseline, its second copy and environments e0, e1, … that cost the same."""
    names = [BASELINE, CONTROL, *(f"e{number}" for number in range(environments))]
    if kind in STEADY:  # one series cut into parts: a kind may draw its level at random, and all parts must share it
        return dict(
            zip(names, QUIET[kind](blocks * len(names), scale, random).reshape(len(names), blocks), strict=True)
        )
    return {name: QUIET[kind](blocks, scale, random) for name in names}


def run_of(costs: Mapping[tuple[str, str, str], np.ndarray], number: int = 1) -> Run:
    """A run of these costs, (scenario, metric, environment) -> logarithms of seconds; blocks from 1 on."""
    series = [
        Series(scenario, metric, name, "second", list(range(1, len(logs) + 1)), [float(v) for v in np.exp(logs)], [])
        for (scenario, metric, name), logs in costs.items()
    ]
    names = list(dict.fromkeys(one.environment for one in series if one.environment != CONTROL))
    metrics: dict[str, list[str]] = {}
    for one in series:
        if one.metric not in metrics.setdefault(one.scenario, []):
            metrics[one.scenario].append(one.metric)
    blocks = max((len(logs) for logs in costs.values()), default=0)
    session = Session(
        schema=SCHEMA, run_id=f"simulated-{number}", isobench="0", host_id="simulated",
        started=f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z", command=[], seed=number, profile="default",
        baseline=BASELINE, host={}, fingerprint={}, versions={},
        environments=[EnvironmentRecord(name, name, "process", "", None, False) for name in names],
        scenarios=[ScenarioRecord(s, s, [MetricRecord(m, "second", m) for m in found]) for s, found in metrics.items()],
        blocks=[BlockRecord(index, float(index), 1.0, []) for index in range(blocks + 1)],
    )  # fmt: skip
    return Run(Path(f"simulated-{number}"), session, series)


def context_of(costs: Mapping[tuple[str, str, str], np.ndarray]) -> Context:
    """The same as a report sees it."""
    return Context(Results(run_of(costs)))
