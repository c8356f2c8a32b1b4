"""One row a run, to be appended to, as Apache Otava's CSV importer reads it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from isobench.export._shared import Format, estimates, inert

if TYPE_CHECKING:
    from isobench.analysis.results import Results


def write(results: Results) -> bytes:
    """A header and one row: the time, and every cost; the rows of many nights under one header are Otava's input."""
    rows = estimates(results)
    text = io.StringIO()
    writer = csv.writer(text)
    names = (f"{row.scenario}.{row.metric}/{row.environment}" for row in rows)
    writer.writerow(["time", "run", *map(inert, names)])
    writer.writerow(
        [*map(inert, (results.session.started, results.session.run_id)), *(repr(row.median) for row in rows)]
    )
    return text.getvalue().encode()


FORMAT = Format("otava", "otava.csv", write)
