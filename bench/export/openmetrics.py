"""OpenMetrics, for Prometheus: what a run measured and how it went; for a night also the trend's alerts.

node_exporter's textfile collector reads it, too. contrib/prometheus has alert rules, contrib/grafana a dashboard.
"""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from isobench.export._shared import Format, estimates

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from isobench.analysis.results import Estimate, Results
    from isobench.nights.trend import Alert


class Family(NamedTuple):
    """A metric: its unit, which ends its name, its labels, and its help. All are gauges."""

    unit: str
    labels: tuple[str, ...]
    help: str


_COST = ("host", "scenario", "metric", "environment")
FAMILIES = {
    "isobench_cost_seconds": Family("seconds", _COST, "Median over the blocks of the newest run."),
    "isobench_cost_bytes": Family("bytes", _COST, "Median over the blocks of the newest run."),
    "isobench_ratio": Family(
        "", (*_COST, "bound"), "Cost against the baseline, paired by block, with its 95 % interval."
    ),
    "isobench_run_start_time_seconds": Family("seconds", ("host",), "When the newest run began, since 1970."),
    "isobench_run_blocks_used": Family("", ("host",), "Blocks of the newest run that are not excluded."),
    "isobench_run_failed_cells": Family("", ("host",), "Cells of the newest run that failed."),
    "isobench_trend_watched_series": Family("", ("host",), "Series with enough runs to confirm a change."),
    "isobench_trend_change_ratio": Family(
        "",
        (*_COST, "kind", "state", "near"),
        "New level of a cost to the old one: a change that the newest run confirmed.",
    ),
    "isobench_trend_fact_changed": Family("", ("host", "fact"), "A fact of the host changed with the newest run."),
}
"""Every metric that is written, by its name."""

Sample = tuple[str, dict[str, str], float]
"""Name, labels and value."""


def write(results: Results) -> bytes:
    """https://github.com/prometheus/OpenMetrics: gauges with the unit in the name, labels escaped, # EOF at the end."""
    return _written(_of_run(results))


def write_night(results: Results, alerts: Sequence[Alert], watched: int) -> bytes:
    """The same, and the new ones among the machine's `alerts`. `watched` is the number of its series that have a
    trend."""
    host = {"host": results.session.host_id}
    samples = [*_of_run(results), ("isobench_trend_watched_series", host, float(watched))]
    for alert in alerts:
        if alert.news:
            samples += _of_alert(alert, host)
    return _written(samples)


def _of_run(results: Results) -> list[Sample]:
    session = results.session
    host = {"host": session.host_id}
    samples: list[Sample] = [
        ("isobench_run_blocks_used", host, float(session.blocks_used)),
        ("isobench_run_failed_cells", host, float(sum(failure.block > 0 for failure in session.failures))),
    ]
    with suppress(ValueError):  # a damaged record may have an invalid time
        began = datetime.fromisoformat(session.started).timestamp()
        samples.append(("isobench_run_start_time_seconds", host, began))
    for row in estimates(results):
        labels = host | _labels(row)
        samples.append((f"isobench_cost_{row.unit}s", labels, row.median))
        bounds = (("centre", row.ratio), ("low", row.ratio_low), ("high", row.ratio_high))
        samples += [
            ("isobench_ratio", {**labels, "bound": bound}, value) for bound, value in bounds if math.isfinite(value)
        ]
    return samples


def _labels(row: Estimate) -> dict[str, str]:
    return {"scenario": row.scenario, "metric": row.metric, "environment": row.environment}


def _of_alert(alert: Alert, host: dict[str, str]) -> Iterable[Sample]:
    """One sample for each cost that changed, also among baseline costs that moved together, and for each fact."""
    for what in alert.what:
        if alert.kind == "fingerprint":
            yield "isobench_trend_fact_changed", {**host, "fact": what}, 1.0
        else:
            name, _, environment = what.partition("/")
            scenario, _, metric = name.partition(".")
            labels = {**host, "scenario": scenario, "metric": metric, "environment": environment}
            yield (
                "isobench_trend_change_ratio",
                {**labels, "kind": alert.kind, "state": alert.state, "near": alert.near},
                alert.change if alert.change is not None else math.nan,
            )


def _written(samples: Iterable[Sample]) -> bytes:
    """One family after the other, as the format requires; of two samples with the same labels the last one counts."""
    found: dict[str, dict[str, float]] = {}
    for name, labels, value in samples:
        found.setdefault(name, {})[_text(labels)] = value
    lines = []
    for name, family in FAMILIES.items():
        if name in found:
            lines += [f"# TYPE {name} gauge", *([f"# UNIT {name} {family.unit}"] if family.unit else [])]
            lines += [f"# HELP {name} {family.help}"]
            lines += [f"{name}{labels} {value!r}" for labels, value in found[name].items()]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode(errors="backslashreplace")


def _text(labels: dict[str, str]) -> str:
    escaped = (
        '{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, value in labels.items()
    )
    return "{" + ",".join(escaped) + "}"


FORMAT = Format("openmetrics", "prom", write)
