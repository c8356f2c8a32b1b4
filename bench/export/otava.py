"""One row a run, to be appended to, as Apache Otava's CSV importer reads it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from isobench.export._shared import Format, estimates, inert

if TYPE_CHECKING:
    from isobench.results.store import Run


def write(run: Run) -> bytes:
    """A header and one row: the time, and every cost; the rows of many nights under one header are Otava's input."""
    import csv

    rows = estimates(run)
    text = io.StringIO()
    writer = csv.writer(text)
    names = (f"{row.scenario}.{row.metric}/{row.environment}" for row in rows)
    writer.writerow(["time", "run", *map(inert, names)])
    writer.writerow([*map(inert, (run.session.started, run.session.run_id)), *(repr(row.median) for row in rows)])
    return text.getvalue().encode()


FORMAT = Format("otava", "otava.csv", write)
