"""Every sample, for pandas, R, a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.export._shared import Format, inert, samples

if TYPE_CHECKING:
    from isobench.results.store import Run


def write(run: Run) -> bytes:
    """Text cells are inert in a spreadsheet."""
    table = samples(run)
    for name in ("scenario", "metric", "environment", "unit"):
        table[name] = table[name].astype(str).map(inert)
    return table.to_csv(index=False).encode()


FORMAT = Format("csv", "csv", write)
