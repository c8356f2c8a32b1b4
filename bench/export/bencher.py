"""Bencher Metric Format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from isobench.export._shared import Format, estimates

if TYPE_CHECKING:
    from isobench.analysis.results import Results


def write(results: Results) -> bytes:
    """https://bencher.dev/docs/reference/bencher-metric-format/: benchmark -> measure -> value and bounds."""
    document = {
        f"{row.scenario}.{row.metric}/{row.environment}": {
            "latency" if row.unit == "second" else "memory": {
                "value": row.median * (1e9 if row.unit == "second" else 1),  # Bencher's latency is in nanoseconds
                "lower_value": row.q25 * (1e9 if row.unit == "second" else 1),
                "upper_value": row.q75 * (1e9 if row.unit == "second" else 1),
            }
        }
        for row in estimates(results)
    }
    return json.dumps(document, indent=1).encode()


FORMAT = Format("bmf", "bmf.json", write)
