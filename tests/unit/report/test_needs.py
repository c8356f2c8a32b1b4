"""What people choose an isolation for, and who stands for a kind: as scenarios and environments say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from isobench.planning import catalog
from isobench.report.context import Context
from isobench.report.needs import REPRESENTATIVE, metric_for, needs_of, representatives, rows_for, spokesmen
from isobench.report.sections import verdict
from isobench.results.record import EnvironmentRecord, MetricRecord, PurposeRecord, ScenarioRecord
from tests.unit.report.made import context, estimate, session, with_session

if TYPE_CHECKING:
    from collections.abc import Sequence

FAST, SMALL = PurposeRecord(20, "Fast", "one step"), PurposeRecord(10, "Small", "per step")


def _context(environments: Sequence[EnvironmentRecord], *measured: str) -> Context:
    """A run with a scenario of four metrics, three of which stand for something."""
    metrics = [
        MetricRecord("idle", "second", ""),
        MetricRecord("step", "second", "", purpose=FAST),
        MetricRecord("size", "byte", "", purpose=SMALL),
        MetricRecord("charge", "byte", "", purpose=SMALL),
    ]
    record = msgspec.structs.replace(
        session(), scenarios=[ScenarioRecord("walk", "Walking", metrics)], environments=list(environments)
    )
    rows = [estimate("walk", metric, one.name, 1.0) for metric in measured for one in environments]
    return with_session(context(estimates=rows), record)


def _environment(name: str, *groups: str, layer: str = "process") -> EnvironmentRecord:
    return EnvironmentRecord(name, name, layer, "", None, False, groups=list(groups))


def test_a_need_is_what_a_metric_stands_for() -> None:
    """In the order that they give, by the first metric that was measured; the verdict has a column of each."""
    made = _context([_environment("process"), _environment("other")], "step", "charge")
    small, fast = needs_of(made)
    assert (small.title, small.unit_of, fast.title) == ("Small", "per step", "Fast")
    assert metric_for(made, small) == ("walk", "charge") and metric_for(made, fast) == ("walk", "step")
    assert [row.environment for row in rows_for(made, fast)] == ["process", "other"]
    heads = [column.title for column in verdict._table(made).columns]
    assert heads == ["isolation", "Small: per step", "Fast: one step"]


def test_needs_of_one_place_come_as_the_run_had_them() -> None:
    """Workloads share a place: the first that was asked for is first."""
    made = _context([_environment("process"), _environment("other")], "step", "size")
    later = msgspec.structs.replace(
        made.session,
        scenarios=[
            ScenarioRecord(
                "walk", "Walking", [MetricRecord("step", "second", "", purpose=PurposeRecord(60, "walk", "a step"))]
            ),
            ScenarioRecord(
                "rest", "x", [MetricRecord("nap", "second", "", purpose=PurposeRecord(60, "rest", "a nap"))]
            ),
        ],
    )
    assert [need.title for need in needs_of(with_session(made, later))] == ["walk", "rest"]


def test_a_run_of_other_costs_has_the_first_of_each_scenario() -> None:
    """Not a table without columns: of a scenario that no purpose was measured of, its first cost that was."""
    made = _context([_environment("process"), _environment("other")], "idle")
    (need,) = needs_of(made)
    assert (need.title, need.candidates) == ("Walking", (("walk", "idle"),))
    assert [column.title for column in verdict._table(made).columns] == ["isolation", "Walking: idle"]


def test_an_older_run_has_the_needs_of_then() -> None:
    """Its record says nothing of purposes, nor of groups; they are the ones that the scenarios have told since."""
    old = needs_of(context())
    new = {
        (metric.purpose.order, metric.purpose.title, metric.purpose.number)
        for scenario in catalog.scenarios().values()
        for metric in scenario.metrics
        if metric.purpose is not None
    }
    assert [(need.title, need.unit_of) for need in old] == [told[1:] for told in sorted(new)]


def test_short_tables_have_one_of_each_kind() -> None:
    """As the environments say; in a layer the one of a plain run speaks first."""
    many = [_environment(f"rung-{number}") for number in range(REPRESENTATIVE)]
    kinds = [
        _environment("odd", "kinds", layer="vm"),
        _environment("plain", "kinds", "default", layer="vm"),
        _environment("third", "kinds", layer="engine"),
    ]
    made = _context([_environment("process", "kinds", "default"), *many, *kinds], "step")
    assert representatives(made) == ["process", "odd", "plain", "third"]
    names = [one.name for one in made.session.environments]
    assert spokesmen(made, names) == ["process", "third", "plain"]
