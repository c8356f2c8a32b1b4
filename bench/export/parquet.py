"""Every sample with its types, for pandas, R, DuckDB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError
from isobench.export._shared import Format, samples

if TYPE_CHECKING:
    from isobench.results.store import Run


def write(run: Run) -> bytes:
    """Raises `UsageError` where pyarrow is not installed."""
    target = io.BytesIO()
    try:
        samples(run).to_parquet(target, index=False)
    except ImportError as error:
        raise UsageError("pyarrow is not installed", remedy="pip install 'isobench[parquet]'") from error
    return target.getvalue()


FORMAT = Format("parquet", "parquet", write)
