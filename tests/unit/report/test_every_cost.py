"""Whatever a run has stored has a row in its report, whoever made the scenario and whatever else was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from isobench.analysis.results import Estimate
from isobench.layout import html, markdown
from isobench.layout.page import Page
from isobench.planning import catalog
from isobench.report.build import page_of, write
from isobench.report.context import Context
from isobench.results.record import MetricRecord, ScenarioRecord
from isobench.results.store import Run, Series
from tests.unit.report import made

LayOut = Callable[[Page], str]
UNKNOWN = ScenarioRecord(
    "weather", "A plug-in's scenario", [MetricRecord(f"rain-{n}", "second", "") for n in range(30)]
)
SCENARIOS = {name: s.metrics for name, s in catalog.scenarios().items() if s.metrics}


def report(scenarios: list[ScenarioRecord], estimates: list[Estimate], lay_out: LayOut = markdown.lay_out) -> str:
    """The report of a run that has just these estimates, in Markdown if not said otherwise."""
    series = [
        Series(e.scenario, e.metric, e.environment, e.unit, list(range(1, 6)), [e.median] * 5, [(0, e.median)])
        for e in estimates
    ]
    session = msgspec.structs.replace(made.session(), scenarios=scenarios)
    run = Run(Path("results/host/20260102T030405Z"), session, series)
    return lay_out(page_of(Context(made.results_of(run, estimates))))


def estimates_of(scenario: ScenarioRecord) -> list[Estimate]:
    """Every metric of a scenario in two environments."""
    return [
        made.estimate(scenario.name, metric.name, environment, ratio, unit=metric.unit)
        for metric in scenario.metrics
        for environment, ratio in (("process", 1.0), ("docker", 40.0))
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_that_was_run_alone_is_all_there(name: str) -> None:
    """Every metric of every scenario of the catalogue has a table of its own in the report of a run of it alone."""
    metrics = [MetricRecord(m.name, m.unit, m.meaning) for m in SCENARIOS[name]]
    record = ScenarioRecord(name, name, metrics)
    text = report([record], estimates_of(record))
    assert [m.name for m in metrics if f"{name}.{m.name}" not in text] == []


def test_a_plug_ins_scenario_is_all_there() -> None:
    """A scenario that no section knows has a heading, a figure, and a table for each metric."""
    text = report([UNKNOWN], estimates_of(UNKNOWN))
    assert "A plug-in's scenario" in text.replace("\\", "")
    assert [m.name for m in UNKNOWN.metrics if f"weather.{m.name}" not in text] == []


def test_a_metric_that_the_record_does_not_name_is_there() -> None:
    """A run whose record has lost a scenario, or a metric of one, still shows what was stored."""
    lone = [made.estimate("startup", "teleport", e, r) for e, r in (("process", 1.0), ("docker", 2.0))]
    text = report([], [*lone, *estimates_of(UNKNOWN)])
    assert "startup.teleport" in text
    assert "weather.rain-29" in text


def test_a_page_of_very_many_costs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a browser would choke, one environment of each kind has its rows, every metric still a table."""
    from isobench.report.sections import _shared

    names = ["process", "docker", *(f"plug-in-{n}" for n in range(30))]
    estimates = [made.estimate("weather", m.name, name, 2.0) for m in UNKNOWN.metrics for name in names]
    whole = report([UNKNOWN], estimates, html.lay_out)
    monkeypatch.setattr(_shared, "MOST_ESTIMATES", len(estimates) - 1)
    bounded = report([UNKNOWN], estimates, html.lay_out)
    assert bounded.count("<tr>") < whole.count("<tr>") * 0.6
    assert [m.name for m in UNKNOWN.metrics if f"weather.{m.name}" not in bounded] == []
    assert "isobench export" in bounded


@pytest.mark.slow
def test_sixty_environments_in_twenty_scenarios_are_bounded(tmp_path: Path) -> None:
    """Different scenarios of the catalogue, or made-up ones: the page under 4.5 MB, its drawings under 100 kB each, the
    Markdown under 64 kB with pictures under 1.2 MB; every metric still has a table on the page."""
    different = {metrics: name for name, metrics in SCENARIOS.items()}  # kinds of images and disks have no figures
    records = [ScenarioRecord(name, name, [MetricRecord(m.name, m.unit, m.meaning) for m in metrics])
               for metrics, name in different.items()][:20]  # fmt: skip
    records += [msgspec.structs.replace(UNKNOWN, name=f"weather-{n}") for n in range(20 - len(records))]
    names = ["process", "chroot", "ns-all", "docker", "tcg-null", "tcg", *(f"plug-in-{n}" for n in range(54))]
    layers = dict(zip(names, ("process", "chroot", "namespace", "engine", "vmm", "vm"), strict=False))
    environments = [(name, layers.get(name, "namespace"), "process", True, 0.0) for name in names]
    estimates = [
        made.estimate(record.name, metric.name, name, 1 + index / 2, unit=metric.unit)
        for record in records
        for metric in record.metrics
        for index, name in enumerate(names)
    ]
    session = msgspec.structs.replace(made.session(environments=environments), scenarios=records)
    run = Run(tmp_path / "host" / "run", session, [])
    written = write(page_of(Context(made.results_of(run, estimates))), tmp_path / "out")
    page = written["html"].read_text()
    assert len(page) < 4_500_000 and written["md"].stat().st_size < 64_000
    sizes = [file.stat().st_size for file in (tmp_path / "out" / "report_files").iterdir()]
    assert len(sizes) >= 20 and max(sizes) < 100_000 and sum(sizes) < 1_200_000
    assert [f"{r.name}.{m.name}" for r in records for m in r.metrics if f"{r.name}.{m.name}" not in page] == []


def test_far_quantiles_need_many_values() -> None:
    """The 95 % quantile of a dozen values is their maximum by another name: it is not shown."""
    from isobench.report.sections.startup import _quantile

    values = [float(n) for n in range(12)]
    assert _quantile(values, 0.5) == 5.5
    assert _quantile(values, 1.0) == 11.0
    assert _quantile(values, 0.95) != _quantile(values, 0.95)  # not a number
    assert _quantile([float(n) for n in range(20)], 0.95) == pytest.approx(18.05)
    assert _quantile([float(n) for n in range(99)], 0.99) != _quantile([float(n) for n in range(99)], 0.99)
