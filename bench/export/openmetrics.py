"""OpenMetrics, for Prometheus."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from isobench.export._shared import Format, estimates

if TYPE_CHECKING:
    from isobench.analysis.results import Estimate, Results


def write(results: Results) -> bytes:
    """https://github.com/prometheus/OpenMetrics: gauges with the unit in the name, labels escaped, # EOF at the end."""
    lines = []
    table = estimates(results)
    for unit in ("second", "byte"):
        rows = [row for row in table if row.unit == unit]
        name = f"isobench_cost_{unit}s"
        if rows:
            lines += [
                f"# TYPE {name} gauge",
                f"# UNIT {name} {unit}s",
                f"# HELP {name} Median over the blocks of a run.",
            ]
        lines += [f"{name}{_labels(results, row)} {row.median!r}" for row in rows]
    ratios = [row for row in table if math.isfinite(row.ratio)]
    if ratios:
        lines += ["# TYPE isobench_ratio gauge", "# HELP isobench_ratio Cost against the baseline, paired by block."]
    for row in ratios:
        lines += [
            f"isobench_ratio{_labels(results, row, bound=bound)} {value!r}"
            for bound, value in (("centre", row.ratio), ("low", row.ratio_low), ("high", row.ratio_high))
            if math.isfinite(value)
        ]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _labels(results: Results, row: Estimate, **more: str) -> str:
    labels = {
        "host": results.session.host_id,
        "scenario": row.scenario,
        "metric": row.metric,
        "environment": row.environment,
    }
    escaped = (
        '{}="{}"'.format(key, str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, value in {**labels, **more}.items()
    )
    return "{" + ",".join(escaped) + "}"


FORMAT = Format("openmetrics", "prom", write)
