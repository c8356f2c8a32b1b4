"""The history of a results folder as Parquet, for questions to more hosts and nights than fit into memory.

Two files for each month of a group of hosts, `host_group=GROUP/month=2026-11/nights.parquet` with a row for each run
and `costs.parquet` with a row for each cost of each run. Engines that know this way to name folders (Hive's: DuckDB,
Spark, Trino, ClickHouse) do not open what a question does not ask for. The rows of one cost are together in a file,
because most questions are about few costs.
"""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from isobench.core.errors import UsageError
from isobench.results.record import HARDWARE
from isobench.results.store import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from isobench.nights.history import Night

NIGHTS = {
    **dict.fromkeys(("run", "host"), "string"),
    "started": "timestamp[ms]",
    **dict.fromkeys(("baseline", "hardware", "software", "label", "profile"), "string"),
    **dict.fromkeys(("blocks", "used"), "int32"),
}
"""The columns of `nights` and their types: where the run is below the results folder, its host, when it began (UTC),
what ratios are to, the facts of the fingerprint as the host's hardware and, in JSON, the rest of them; label and
profile of the run; blocks after the warm-up, and those that are not excluded."""
COSTS = {
    **dict.fromkeys(("run", "host"), "string"),
    "started": "timestamp[ms]",
    **dict.fromkeys(("scenario", "metric", "environment", "unit"), "string"),
    "value": "float64",
    **dict.fromkeys(("ratio", "low", "high"), "float32"),
}
"""The columns of `costs`: those of a run as above, and what `history.Point` says of one cost; null where that has NaN.
Ratios are known to three digits, so that half a float is enough for them."""
_ROWS = 122_880
"""Of a row group: as many as DuckDB has in one."""


def write(nights: Iterable[Night], folder: Path, group: str) -> list[Path]:
    """Write the months of these nights; returns the files of this group. One that would be the same is left as it is,
    and so is a month that has no night any more.

    Raises `UsageError` where pyarrow is not installed, and `OSError`.
    """
    months: dict[str, list[Night]] = {}
    for night in nights:
        months.setdefault(night.started[:7], []).append(night)
    files = []
    for month, of_month in sorted(months.items()):
        for name, content in (("nights", of_nights(of_month)), ("costs", of_costs(of_month))):
            files.append(folder / f"host_group={group}" / f"month={month}" / f"{name}.parquet")
            if not files[-1].exists() or files[-1].read_bytes() != content:
                files[-1].parent.mkdir(parents=True, exist_ok=True)
                write_atomically(files[-1], content)
    return files


def of_nights(nights: Iterable[Night]) -> bytes:
    """The content of a file with a row for each run."""
    rows = sorted(nights, key=lambda night: (night.host_id, night.started))
    facts = [one.fingerprint for one in rows]
    software = [{name: one[name] for name in sorted(one) if name not in HARDWARE} for one in facts]
    return encoded(
        NIGHTS,
        {
            **_of_runs(rows),
            "baseline": [one.baseline for one in rows],
            "hardware": [", ".join(filter(None, (one.get(fact, "") for fact in HARDWARE))) for one in facts],
            "software": [msgspec.json.encode(one).decode() for one in software],
            "label": [one.label for one in rows],
            "profile": [one.profile for one in rows],
            "blocks": [one.blocks for one in rows],
            "used": [one.used for one in rows],
        },
    )


def of_costs(nights: Iterable[Night]) -> bytes:
    """The content of a file with a row for each cost of each run."""
    rows = sorted(
        ((night, point) for night in nights for point in night.points),
        key=lambda row: (row[1].scenario, row[1].metric, row[1].environment, row[0].host_id, row[0].started),
    )
    points = [point for _, point in rows]
    return encoded(
        COSTS,
        {
            **_of_runs([night for night, _ in rows]),
            **{name: [getattr(one, name) for one in points] for name in list(COSTS)[3:]},
        },
    )


def encoded(types: Mapping[str, str], columns: Mapping[str, Any]) -> bytes:
    """A Parquet file of these columns; those of words may be Arrow's dictionaries.

    Raises `UsageError` where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("pyarrow is not installed", remedy="pip install 'isobench[parquet]'") from error
    kinds = {name: pa.type_for_alias(kind) for name, kind in types.items()}
    arrays = [
        column if isinstance(column, pa.DictionaryArray) else pa.array(column, from_pandas=True).cast(kind)  # NaN: null
        for column, kind in ((columns[name], kind) for name, kind in kinds.items())
    ]
    numbers = [name for name, kind in kinds.items() if pa.types.is_floating(kind)]
    target = io.BytesIO()
    parquet.write_table(
        pa.table(arrays, names=list(kinds)),
        target,
        row_group_size=_ROWS,
        compression="zstd",
        use_dictionary=[name for name in kinds if name not in numbers],
        use_byte_stream_split=numbers,
        store_schema=False,  # a dictionary is read as the words that it stands for
    )
    return target.getvalue()


def _of_runs(rows: Sequence[Night]) -> dict[str, Any]:
    return {
        "run": [night.path for night in rows],
        "host": [night.host_id for night in rows],
        "started": [datetime.fromisoformat(night.started).replace(tzinfo=None) for night in rows],
    }
