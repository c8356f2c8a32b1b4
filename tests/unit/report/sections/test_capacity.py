"""Capacity: the number of instances at the bound, block by block, and what there is to say without one."""

from __future__ import annotations

import msgspec
import pytest

from isobench.layout.blocks import Paragraph, Table, plain
from isobench.report.context import Context
from isobench.report.sections import capacity, claims
from isobench.results.record import MetricRecord, ScenarioRecord
from isobench.results.store import Run, Series
from tests.unit.report.made import HOSTILE, all_tables, context, estimate, results_of, row_of, with_session

COURSES: dict[str, dict[int, float]] = {
    "process": {1: 1e-3, 2: 1e-3, 4: 10e-3, 8: 40e-3},
    "ns-all": {1: 1e-3, 2: 5e-3, 4: 80e-3},
    "docker": {1: 1e-3, 2: 2e-3},
    "tcg": {1: 50e-3},
}
"""Environment -> number of instances -> the victim's 99th percentile; the bound is 20 ms."""


def _made(blocks: int = 8, courses: dict[str, dict[int, float]] = COURSES, bound: str = "0.02") -> Context:
    """A run whose blocks all become later together by a little."""
    chosen = [
        estimate("capacity", f"p99-{count}", name, 1.0, median=value)
        for name, course in courses.items()
        for count, value in course.items()
    ]
    indices = list(range(1, blocks + 1))
    series = [
        Series(e.scenario, e.metric, e.environment, e.unit, indices, [e.median * (1 + b / 1000) for b in indices], [])
        for e in chosen
    ]
    record = context().session
    metrics = [MetricRecord(f"p99-{count}", "second", "late") for count in (1, 2, 4, 8)]
    environments = [msgspec.structs.replace(one, facts={"capacity.bound": bound}) for one in record.environments]
    scenarios = [ScenarioRecord("capacity", "Capacity", metrics)]
    session = msgspec.structs.replace(record, scenarios=scenarios, environments=environments)
    return Context(results_of(Run(context().run.path, session, series), chosen))


def _table(made: Context) -> Table:
    return next(block for block in capacity.build(made) if isinstance(block, Table))


def test_the_number_lies_between_the_last_within_and_the_first_beyond() -> None:
    """On log axes: 20 ms are half way between 10 and 40, and so is the number between 4 and 8."""
    table = _table(_made())
    assert row_of(table, "process")[1].startswith("5.6") and "[5.6" in row_of(table, "process")[1]
    assert row_of(table, "process")[2] == "baseline"
    assert row_of(table, "ns-all")[1].startswith("2.8")
    assert row_of(table, "ns-all")[2].startswith("0.5")
    assert "passes 20 ms" in plain(table.caption)


def test_where_the_host_had_no_room_it_is_at_least_the_last_number() -> None:
    """And where one alone is too late, it is not even that; neither has a ratio."""
    table = _table(_made())
    assert row_of(table, "docker")[1:] == ["at least 2", "–"]
    assert row_of(table, "tcg")[1:] == ["not even one in 8 of 8 blocks", "–"]


def test_some_blocks_that_came_to_no_end_are_counted() -> None:
    """A middle of the others would be too low."""
    made = _made()
    values = made.results.tables["capacity", "p99-8"]["process"]
    values.values[:3] = 0.015
    assert row_of(_table(made), "process")[1] == "at least 8 in 3 of 8 blocks"


def test_five_blocks_give_no_interval() -> None:
    assert row_of(_table(_made(blocks=5)), "process")[1].startswith("5.6")
    assert "[" not in row_of(_table(_made(blocks=5)), "process")[1]


@pytest.mark.parametrize("bound", ["", HOSTILE, "nan", "-1", "1e999"])
def test_without_a_bound_there_is_no_number(bound: str) -> None:
    """The costs have their tables all the same."""
    blocks = capacity.build(_made(bound=bound))
    assert not any(isinstance(block, Table | Paragraph) for block in blocks)
    costs = {table.cost for table in all_tables(blocks) if table.cost}
    assert costs == {f"capacity.p99-{count}" for count in (1, 2, 4, 8)}


def test_a_record_may_say_anything() -> None:
    """Costs that no clock can have are shown or left out, and raise nothing."""
    for odd in (1e-320, 1e300):
        made = _made()
        for table in made.results.tables.values():
            for values in table.values():
                values.values[::2] = odd
        assert capacity.build(made)


def test_the_claim_about_resources_is_answered() -> None:
    (answer,) = (claim.answer(_made()) for claim in claims.CLAIMS if claim.said.startswith("Containers save"))
    assert answer.verdict == "measured"
    assert "passes 20 ms: process 5.6" in answer.words and "docker at least 2" in answer.words


def test_a_run_without_capacity_has_no_section() -> None:
    made = context()
    assert capacity.build(made) == []
    assert capacity.sentence(with_session(made, made.session), ("docker",)) == ""
