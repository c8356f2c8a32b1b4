"""Real programs in the report: which scenarios are workloads, what comes first, and one sentence that answers."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from isobench.analysis.results import Results
from isobench.layout.blocks import Details, Figure, Heading, Paragraph, Table, costs_shown, plain
from isobench.report.build import page_of
from isobench.report.context import Context
from isobench.report.sections import workloads
from isobench.results.record import EnvironmentRecord, MetricRecord, ScenarioRecord
from tests.unit.report.made import HOSTILE, context, estimate, with_session
from verification.validity.runs import run_of

RATIOS = {"process": 1.0, "chroot": 1.0, "docker": 1.3, "tcg": 9.0}


def ran(words: str = "") -> Context:
    """A run of one workload with a number of its own, and of a scenario that is none."""
    rows = [
        estimate(scenario, metric, name, ratio)
        for scenario, metrics in (("mine", ("wall", "cpu", "get")), ("startup", ("ready",)))
        for metric in metrics
        for name, ratio in RATIOS.items()
    ]
    made = context(words, rows)
    records = [
        msgspec.structs.replace(
            one, facts={"mine.root": f"0123{words}", "mine.command": f"ask it{words}", "mine.allotted": "2 CPUs"}
        )
        for one in made.session.environments
    ]
    metrics = [MetricRecord(name, "second", f"one {name}{words}") for name in ("wall", "cpu", "get")]
    scenarios = [*made.session.scenarios, ScenarioRecord("mine", f"My server{words}", metrics)]
    return with_session(made, msgspec.structs.replace(made.session, environments=records, scenarios=scenarios))


def test_what_is_a_workload_is_recorded() -> None:
    """By its root file system; a run without one has no such section."""
    assert workloads.workloads(ran()) == ["mine"]
    assert workloads.build(context()) == []


def test_its_own_numbers_come_first() -> None:
    """Then what every workload is judged by; all of them have a table."""
    assert workloads.ordered(["wall", "get", "cpu", "p99"]) == ["get", "p99", "wall", "cpu"]
    blocks = workloads.build(ran())
    assert [type(block) for block in blocks] == [Heading, Paragraph, Figure, Table, Details, Details]
    assert costs_shown(blocks) == {"mine.get", "mine.wall", "mine.cpu"}
    figure = next(block for block in blocks if isinstance(block, Figure))
    assert [plain(row[0].text).split(" / ")[0] for row in figure.data.rows[:4:3]] == ["get", "wall"]


def test_one_sentence_answers() -> None:
    """Of the first number, with intervals; an emulated guest tells of this host and is not in it."""
    (said,) = [plain(block.text) for block in workloads.build(ran()) if isinstance(block, Paragraph)]
    assert said.startswith("One get takes 1.00 ms in process. Against that: chroot ")
    assert "docker 1.30× [1.27, 1.33] (slower)" in said and "tcg" not in said


def test_what_single_things_cost() -> None:
    """Environments that differ in one thing alone, block by block: the difference, and which share of the lower one's
    cost it is. Nothing where none do."""
    taken = {"process": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5], "docker": [2.0, 2.1, 2.2, 2.3, 2.4, 2.5],
             "docker-hostnet": [1.5, 1.6, 1.7, 1.8, 1.9, 2.0]}  # fmt: skip
    made = run_of({("mine", "get", name): np.log(values) for name, values in taken.items()})
    network = EnvironmentRecord("docker-hostnet", "x", "engine", "the host's network", "docker", True)
    plain_docker = EnvironmentRecord("docker", "x", "engine", "several things", "process", False)
    session = msgspec.structs.replace(
        made.session,
        environments=[
            EnvironmentRecord("process", "x", "process", "", None, False),
            *(msgspec.structs.replace(one, facts={"mine.root": "01"}) for one in (plain_docker, network)),
        ],
    )
    causes = workloads._causes(Context(Results(made._replace(session=session))), "mine", "get")
    (table,) = causes
    assert isinstance(table, Table)
    ((upper, what, cost, share),) = [[plain(cell.text) for cell in row] for row in table.rows]
    assert upper == "docker-hostnet against docker" and what == "the host's network"
    assert cost.startswith("−500") and share == "−22 %"


def test_a_host_too_small_for_the_driver_is_told_above_the_numbers() -> None:
    """In the words of the record."""
    made = ran()
    shared = "on the host, on the CPUs of the instance: it has only CPUs 0, 1"
    records = [
        msgspec.structs.replace(one, facts={**one.facts, "mine.driver": shared}) for one in made.session.environments
    ]
    small = with_session(made, msgspec.structs.replace(made.session, environments=records))
    _, note, answered = workloads.build(small)[:3]
    assert isinstance(note, Paragraph) and shared in plain(note.text)
    assert isinstance(answered, Paragraph) and plain(answered.text).startswith("One get takes")


def test_what_is_not_certain_is_said_so() -> None:
    """Too few blocks, and an interval that reaches across."""
    made = ran()
    few = [
        row._replace(ratio_low=math.nan, ratio_high=math.nan)
        if row.environment == "docker"
        else row._replace(verdict="inconclusive", ratio_low=0.9, ratio_high=1.2)
        for row in made.estimates
    ]
    made.results.__dict__["estimates"] = few
    said = workloads.answer(made, "mine", ["get"])
    assert "docker about 1.30×, too few blocks" in said and "chroot no certain difference" in said


def test_a_baseline_that_failed_has_no_ratio() -> None:
    """The sentence says so, and the numbers are there."""
    made = ran()
    made.results.__dict__["estimates"] = [
        row._replace(ratio=math.nan) for row in made.estimates if row.environment != "process"
    ]
    blocks = workloads.build(made)
    assert "no ratio" in workloads.answer(made, "mine", ["get"])
    assert not any(isinstance(block, Figure) for block in blocks) and "mine.get" in costs_shown(blocks)


def test_hostile_words_are_only_words() -> None:
    """In the title, the meaning, the command; no other section repeats the workload."""
    page = page_of(ran(HOSTILE))
    parts = {part.anchor: part.blocks for part in page.sections}
    assert "mine.get" not in costs_shown(parts.get("others", []))
    texts = [block for block in parts["workloads"] if isinstance(block, (Heading, Paragraph))]
    assert all("\u202e" not in plain(block.text) and "\n" not in plain(block.text) for block in texts)
    assert any(isinstance(block, Table) for details in parts["workloads"] if isinstance(details, Details)
               for block in details.blocks)  # fmt: skip
