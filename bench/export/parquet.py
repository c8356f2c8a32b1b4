"""Every sample with its types, for pandas, R, DuckDB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError
from isobench.export._shared import Format

if TYPE_CHECKING:
    from isobench.analysis.results import Results


def write(results: Results) -> bytes:
    """Raises `UsageError` where pyarrow is not installed."""
    target = io.BytesIO()
    try:
        results.samples.to_parquet(target, index=False)
    except ImportError as error:
        raise UsageError("pyarrow is not installed", remedy="pip install 'isobench[parquet]'") from error
    return target.getvalue()


FORMAT = Format("parquet", "parquet", write, binary=True)
