"""Every sample, for pandas, R, a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.export._shared import Format, inert

if TYPE_CHECKING:
    from isobench.analysis.results import Results


def write(results: Results) -> bytes:
    """Text cells are never evaluated as formulas."""
    table = results.samples
    words = {name: table[name].astype(str).map(inert) for name in ("scenario", "metric", "environment", "unit")}
    return table.assign(**words).to_csv(index=False).encode()


FORMAT = Format("csv", "csv", write)
