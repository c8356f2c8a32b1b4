"""An export format: the content of one file, from a run's results. This one has a line for each cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.api import Format

if TYPE_CHECKING:
    from isobench.api import Results


def write(results: Results) -> bytes:
    """Medians in seconds or bytes, without the baseline's second copy."""
    lines = [
        f"{row.scenario}.{row.metric}\t{row.environment}\t{row.median:.6g}\t{row.unit}"
        for row in results.estimates
        if not row.control
    ]
    return "\n".join([f"# {results.session.run_id}", *lines, ""]).encode()


FORMAT = Format("example", "example.tsv", write)
