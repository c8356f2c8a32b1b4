"""What a run says at its end."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import pytest

from isobench.analysis.results import Results, load
from isobench.core import display
from isobench.results import store
from isobench.results.record import MetricRecord, ScenarioRecord
from isobench.run.closing import closing, last_words
from tests.unit.analysis.made import write_run


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["process", "docker"], r"docker over process: a start 2\d\d× \(.* for .*\)"),
        (["process", "chroot", "docker"], "A start over process (.*): chroot .*, docker .*×"),
        (["process"], ""),
    ],
)
def test_one_sentence_answers_what_was_asked(tmp_path: Path, names: list[str], said: str) -> None:
    """One other environment is told with all its costs, several side by side, the baseline alone not at all."""
    results = load(write_run(tmp_path))
    assert re.match(said, closing([row for row in results.estimates if row.environment in names], results.session))


def test_of_several_workloads_the_first_that_was_asked_for_answers(tmp_path: Path) -> None:
    """Not the first in the alphabet; its metric keeps its name as it is."""
    results = load(write_run(tmp_path))
    named = [row._replace(scenario=scenario, metric="get") for scenario in ("python", "redis")
             for row in results.estimates if row.metric == "ready" and row.scenario == "startup"]  # fmt: skip
    metric = MetricRecord("get", "second", "")
    asked = [ScenarioRecord(name, name, [metric]) for name in ("redis", "python")]
    told = closing(named, msgspec.structs.replace(results.session, scenarios=asked))
    assert told.startswith("redis.get over process (")


def test_of_many_environments_the_dearest_is_told(tmp_path: Path) -> None:
    """Only who certainly costs the most is named."""
    results = load(write_run(tmp_path))
    (chroot,) = (row for row in results.estimates if (row.environment, row.metric) == ("chroot", "ready"))
    ratios = [1.0] * 7 + [3.0, 9.0]
    many = [
        chroot._replace(environment=f"e{n}", ratio=ratio, ratio_low=ratio - 0.1, ratio_high=ratio + 0.1,
                        verdict="slower" if ratio > 2 else "equivalent")
        for n, ratio in enumerate(ratios)
    ]  # fmt: skip
    records = [msgspec.structs.replace(results.session.environments[0], name=f"e{n}") for n in range(9)]
    session = msgspec.structs.replace(results.session, environments=[*results.session.environments, *records])
    told = closing([*(row for row in results.estimates if row.environment == "process"), *many], session)
    assert told.endswith("2 of 9 environments certainly cost more, the most e8 (9.00×)")
    few = [row._replace(ratio_low=math.nan, ratio_high=math.nan, verdict="inconclusive") for row in many]
    told = closing([*(row for row in results.estimates if row.environment == "process"), *few], session)
    assert told.endswith(": too few blocks to tell 9 environments from it"), "that none costs more would be a finding"


def test_a_scenario_without_a_main_metric_shows_its_first(tmp_path: Path) -> None:
    """Whatever was asked for has a line in the table at the end."""
    run = store.load(write_run(tmp_path))
    (scenario,) = run.session.scenarios
    first = msgspec.structs.replace(scenario.metrics[0], name="odd")
    session = msgspec.structs.replace(run.session, scenarios=[msgspec.structs.replace(scenario, metrics=[first])])
    odd = Results(run._replace(session=session, series=[one._replace(metric="odd") for one in run.series]))
    assert "startup.odd" in display.text(*last_words(odd))


def test_no_verdict_where_every_block_was_disturbed(tmp_path: Path) -> None:
    """An empty table would say nothing: the reason is said instead."""
    run = store.load(write_run(tmp_path, blocks=6))
    blocks = [msgspec.structs.replace(block, marks=["load"]) for block in run.session.blocks]
    disturbed = Results(run._replace(session=msgspec.structs.replace(run.session, blocks=blocks)))
    assert display.text(*last_words(disturbed)).startswith("no verdict: each of the 6 blocks was disturbed")
