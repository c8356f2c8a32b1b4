"""Neighbours: ratios of costs beside to costs alone, of the same blocks; and nothing from few blocks."""

from __future__ import annotations

import msgspec

from isobench.layout.blocks import Block, Items, Paragraph, Table, plain
from isobench.report.context import Context
from isobench.report.sections import claims, neighbours
from isobench.results.record import MetricRecord, ScenarioRecord
from isobench.results.store import Run, Series
from tests.unit.report.made import all_tables, context, estimate, results_of, row_of, with_session

COSTS: dict[str, dict[str, dict[str, float]]] = {
    "neighbour-none": {"syscall": {"process": 1e-7, "docker": 2e-7}, "fsync": {"process": 1e-3, "docker": 2e-3}},
    "neighbour-cpu": {"syscall": {"process": 2e-7, "docker": 4e-7}, "fsync": {"process": 1e-3}},
    "neighbour-cpu-limited": {"syscall": {"docker": 2.5e-7}},
    "neighbour-fsync": {"syscall": {"docker": 2e-7}, "fsync": {"process": 3e-3, "docker": 16e-3}},
}
"""Scenario -> metric -> environment -> cost."""


def _made(blocks: int = 8, costs: dict[str, dict[str, dict[str, float]]] = COSTS) -> Context:
    """A run whose blocks all become dearer together, and differ by half a percent otherwise."""
    chosen = [
        estimate(scenario, metric, name, 1.0, median=value)
        for scenario, metrics in costs.items()
        for metric, values in metrics.items()
        for name, value in values.items()
    ]
    indices = list(range(1, blocks + 1))
    moved = [(1 + block / 10) * (1 + block % 3 / 200) for block in indices]
    series = [
        Series(e.scenario, e.metric, e.environment, e.unit, indices, [e.median * m for m in moved], []) for e in chosen
    ]
    record = context().session
    scenarios = [
        ScenarioRecord(name, name, [MetricRecord(m, "second", m) for m in made]) for name, made in costs.items()
    ]
    facts = {"neighbour-cpu.matthews": "CPU hog"}
    environments = [
        msgspec.structs.replace(one, facts=facts if one.name == "docker" else {}) for one in record.environments
    ]
    session = msgspec.structs.replace(record, scenarios=scenarios, environments=environments)
    return Context(results_of(Run(context().run.path, session, series), chosen))


def _sentences(blocks: list[Block]) -> list[str]:
    return [plain(entry) for block in blocks if isinstance(block, Items) for entry in block.entries]


def test_costs_beside_are_compared_with_the_same_cost_alone() -> None:
    """Of the same environment: what moves all blocks moves no ratio. The canonical neighbours have their names."""
    process, docker = [block for block in neighbours.build(_made()) if isinstance(block, Table)]
    assert [column.title for column in docker.columns] == ["aggressor", "syscall", "fsync"]
    assert row_of(docker, "cpu") == [
        "cpu neighbour-cpu Matthews et al.: CPU hog",
        "2.00× [2.00, 2.00] limited 1.25× [1.25, 1.25]",
        "–",
    ]
    assert row_of(docker, "fsync")[1:] == ["1.00× [1.00, 1.00]", "8.00× [8.00, 8.00]"]
    assert row_of(process, "fsync")[1:] == ["–", "3.00× [3.00, 3.00]"]


def test_an_aggressor_that_only_ran_with_limits_has_its_names_too() -> None:
    """What it does is the title of its scenario."""
    limited = {"neighbour-none": COSTS["neighbour-none"], "neighbour-cpu-limited": COSTS["neighbour-cpu-limited"]}
    made = _made(costs=limited)
    records = [
        msgspec.structs.replace(one, facts={"neighbour-cpu-limited.matthews": "CPU hog"})
        for one in made.session.environments
    ]
    made = with_session(made, msgspec.structs.replace(made.session, environments=records))
    (docker,) = [block for block in neighbours.build(made) if isinstance(block, Table)]
    assert row_of(docker, "cpu")[0] == "cpu neighbour-cpu-limited Matthews et al.: CPU hog"


def test_victims_alone_are_compared_with_the_same_operation_elsewhere() -> None:
    """Within the blocks of each environment; with those operations only that the run has."""
    costs = {
        "startup": {"ready": {"process": 1e-3, "docker": 0.2}},
        "syscall": {"getppid": {"process": 1e-7}},
        "neighbour-none": {
            "start": {"process": 1.1e-3, "docker": 0.2},
            "syscall": {"process": 1e-7, "docker": 2e-7},
            "read": {"process": 1e-4},
        },
    }
    (alone,) = [block for block in neighbours.build(_made(costs=costs)) if isinstance(block, Table)]
    assert alone.caption.startswith("Victims alone: ") and "(startup.ready and syscall.getppid)" in alone.caption
    assert [column.title for column in alone.columns] == ["environment", "start", "syscall"]
    assert row_of(alone, "process")[1:] == ["1.10× [1.10, 1.10]", "1.00× [1.00, 1.00]"]
    assert row_of(alone, "docker")[1:] == ["1.00× [1.00, 1.00]", "–"]


def test_one_sentence_for_each_environment() -> None:
    """How many are slowed, and which most of all."""
    assert _sentences(neighbours.build(_made())) == [
        "process: 2 of 3 costs are slowed beside aggressors, most of all fsync beside fsync (3.00× [3.00, 3.00]).",
        "docker: 2 of 3 costs are slowed beside aggressors, most of all fsync beside fsync (8.00× [8.00, 8.00]); "
        "1 of 1 costs are slowed beside aggressors with limits, most of all syscall beside cpu (1.25× [1.25, 1.25]).",
    ]


def test_from_few_blocks_nothing_is_concluded() -> None:
    """The ratios are shown, and every cost has its table."""
    blocks = neighbours.build(_made(blocks=5))
    assert _sentences(blocks) == []
    assert [plain(one.text) for one in blocks if isinstance(one, Paragraph)] == [
        "Fewer than six blocks: the effect of a neighbour cannot be determined."
    ]
    costs = {table.cost for table in all_tables(blocks) if table.cost}
    assert costs == {f"{scenario}.{metric}" for scenario, metrics in COSTS.items() for metric in metrics}


def test_without_the_cost_alone_there_is_no_ratio() -> None:
    """What was measured beside an aggressor has its numbers nevertheless."""
    blocks = neighbours.build(_made(costs={"neighbour-cpu": COSTS["neighbour-cpu"]}))
    assert [block for block in blocks if isinstance(block, Table)] == []
    assert {table.cost for table in all_tables(blocks) if table.cost} == {
        "neighbour-cpu.syscall",
        "neighbour-cpu.fsync",
    }


def test_a_record_may_say_anything() -> None:
    """Costs that no clock can have are shown or left out, and raise nothing."""
    for odd in (1e-320, 1e300):
        made = _made()
        for table in made.results.tables.values():
            for values in table.values():
                values.values[::2] = odd
        assert neighbours.build(made)


def test_the_claim_about_cgroups_is_answered() -> None:
    (answer,) = (claim.answer(_made()) for claim in claims.CLAIMS if claim.said.startswith("cgroups monitor"))
    assert answer.verdict == "measured" and answer.words.startswith("docker: 2 of 3 costs are slowed beside aggressors")
    assert neighbours.sentence(_made(blocks=5), ("docker",)) == ""


def test_a_run_without_neighbours_has_no_section() -> None:
    assert neighbours.build(context()) == []
