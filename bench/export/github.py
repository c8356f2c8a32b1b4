"""github-action-benchmark's custom tool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from isobench.export._shared import Format, against, estimates

if TYPE_CHECKING:
    from isobench.analysis.results import Results


def write(results: Results) -> bytes:
    """https://github.com/benchmark-action/github-action-benchmark: a list of {name, unit, value, range, extra}."""
    rows = [
        {
            "name": f"{row.scenario}.{row.metric}/{row.environment}",
            "unit": "s" if row.unit == "second" else "B",
            "value": row.median,
            "range": f"{row.q25:.6g} … {row.q75:.6g}",
            "extra": against(row),
        }
        for row in estimates(results)
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False).encode()


FORMAT = Format("customSmallerIsBetter", "github.json", write)
