"""Which rungs of the ladder are compared with each other, as far as this run measured them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format

if TYPE_CHECKING:
    from isobench.report.context import Context
    from isobench.results.record import EnvironmentRecord


class Rung(NamedTuple):
    """`upper` compared with `lower`. `cause` is the single cause of the difference, "" if there are several."""

    upper: str
    lower: str
    cause: str
    adds: str


def find_rungs(context: Context, scenario: str = "startup", metric: str = "ready") -> list[Rung]:
    """Every environment with this metric, compared with the nearest such rung beneath it."""
    measured = {row.environment for row in context.select(scenario, metric)}
    session = context.session
    records = {record.name: record for record in (*session.environments, *session.beneath)}
    wanted = (record for record in session.environments if record.name in measured)
    found = (_rung(record, records, measured, context.baseline) for record in wanted)
    return [rung for rung in found if rung is not None]


def _rung(
    record: EnvironmentRecord, records: dict[str, EnvironmentRecord], measured: set[str], baseline: str
) -> Rung | None:
    """Walk down to a measured rung. If rungs in between were not measured, the step has no single cause.

    If a rung in between is unknown (another package's), the step starts at the baseline.
    """
    adds, seen, lower = [record.adds], {record.name}, record.compared_with
    while lower is not None and lower not in measured and lower in records and lower not in seen:
        seen.add(lower)
        adds.insert(0, records[lower].adds)
        lower = records[lower].compared_with
    if lower is not None and lower not in records:
        adds.insert(0, f"all that lies beneath {format.clean(lower, 60)}, and that itself")
        lower = baseline
    if lower is None or lower not in measured or lower in seen:
        return None
    words = format.listing([format.clean(words, 120) for words in adds if words], 4)
    alone = record.single_factor and lower == record.compared_with
    return Rung(record.name, lower, words if alone else "", words)
