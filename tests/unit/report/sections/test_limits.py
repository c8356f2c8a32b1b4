"""Limits: shares of what was set, with their interval; kept, burst or not enforced, and nothing from few blocks."""

from __future__ import annotations

import msgspec

from isobench.core.model import Unit
from isobench.layout.blocks import Block, Heading, Items, Paragraph, Table, plain
from isobench.report.context import Context
from isobench.report.sections import claims, limits
from isobench.results.record import MetricRecord, ScenarioRecord
from isobench.results.store import Run, Series
from tests.unit.report.made import all_tables, context, estimate, results_of, row_of, with_session

COSTS: dict[tuple[str, str], tuple[Unit, dict[str, float]]] = {
    ("limit-cpu", "had-20"): ("second", {"ns-all": 0.2, "docker": 0.9, "tcg": 0.15}),
    ("limit-cpu", "stall-20"): ("second", {"ns-all": 0.08, "docker": 0.01}),
    ("limit-cpu", "work-20"): ("second", {"ns-all": 1.25}),
    ("cpu-weight", "had-1"): ("second", {"ns-all": 0.2, "docker": 0.2}),
    ("cpu-weight", "had-2"): ("second", {"ns-all": 0.4, "docker": 0.2}),
    ("limit-memory", "had-64"): ("byte", {"ns-all": float(64 << 20)}),
    ("limit-memory", "end-64"): ("second", {"ns-all": 0.013}),
    ("limit-disk", "direct-4"): ("second", {"ns-all": 0.25, "tcg": 0.2}),
    ("limit-disk", "buffered-4"): ("second", {"ns-all": 0.0002}),
    ("limit-disk", "syncfs-4"): ("second", {"ns-all": 0.001}),
    ("limit-disk", "read-direct-4"): ("second", {"ns-all": 0.25}),
    ("limit-network", "received-4"): ("second", {"docker": 0.2614}),
    ("limit-operations", "direct-50"): ("second", {"docker": 0.02}),
    ("limit-operations", "read-direct-50"): ("second", {"docker": 0.02}),
    ("monitoring", "read"): ("second", {"docker": 1.0}),
}


def _made(blocks: int = 8) -> Context:
    """A run of limits in which every block is half a percent beside the one before."""
    chosen = [
        estimate(scenario, metric, name, 1.0, unit=unit, median=value)
        for (scenario, metric), (unit, values) in COSTS.items()
        for name, value in values.items()
    ]
    indices = list(range(1, blocks + 1))
    series = [
        Series(
            e.scenario, e.metric, e.environment, e.unit, indices, [e.median * (1 + b % 3 / 200) for b in indices], []
        )
        for e in chosen
    ]
    record = context().session
    scenarios = [
        ScenarioRecord(name, name, [MetricRecord(m, unit, m) for (s, m), (unit, _) in COSTS.items() if s == name])
        for name in dict.fromkeys(scenario for scenario, _ in COSTS)
    ]
    told = {"docker": {"limit-files.set": "64", "limit-files.had": "64", "limit-files.error": "EMFILE (Too many)"}}
    told["docker"] |= {"limit-memory.end": "killed (SIGKILL)", "limit-memory.swap": "the host has none"}
    environments = [msgspec.structs.replace(one, facts=told.get(one.name, {})) for one in record.environments]
    session = msgspec.structs.replace(record, scenarios=scenarios, environments=environments)
    return Context(results_of(Run(context().run.path, session, series), chosen))


def _words(blocks: list[Block]) -> list[str]:
    entries = [entry for block in blocks if isinstance(block, Items) for entry in block.entries]
    return [plain(text) for text in (*entries, *(block.text for block in blocks if isinstance(block, Paragraph)))]


def test_one_sentence_for_each_environment() -> None:
    """What is kept has no number; a burst and a limit that is none have theirs."""
    said = _words(limits.build(_made()))
    assert said[0].startswith(
        "ns-all: enforces 20 % of a CPU, twice the CPU time of a competitor, 64 MiB of memory, writing 4 MiB/s past "
        "the page cache and reading 4 MiB/s past the page cache; "
    )
    assert said[0].endswith("does not enforce writing 4 MiB/s by the kernel's threads (249×).")
    assert said[1] == (
        "docker: enforces 4 MiB/s from the host, 50 writes a second and 50 reads a second; "
        "does not enforce 20 % of a CPU (4.52×) and twice the CPU time of a competitor (0.500×)."
    )
    assert said[2] == (
        "tcg: gives less than 20 % of a CPU (0.754×); gives more than writing 4 MiB/s past the page cache (1.24×)."
    )


def test_what_nobody_enforces_is_said_apart() -> None:
    """With the reason where the reason is known."""
    said = _words(limits.build(_made()))
    assert said[3] == (
        "Not enforced:  20 % of a CPU in docker; twice the CPU time of a competitor in docker; "
        "writing 4 MiB/s by the kernel's threads in ns-all."
    )
    assert said[4].startswith("The kernel's threads write back the page cache.")


def test_shares_are_shown_with_their_interval_and_what_is_beside() -> None:
    blocks = [block for block in limits.build(_made()) if isinstance(block, Table)]
    cpu, _, memory, disk, network, operations, ends, counts = blocks[:8]
    assert row_of(cpu, "ns-all")[1].startswith("1.00× [1")
    assert row_of(cpu, "ns-all")[1].endswith("longest stall 80.0 ms fixed work 1.25 s")
    assert "from its last page to its end 13.0 ms" in row_of(memory, "ns-all")[1]
    assert [column.title for column in disk.columns[1:]] == [
        "writing 4 MiB/s past the page cache",
        "writing 4 MiB/s by the kernel's threads",
        "reading 4 MiB/s past the page cache",
    ]
    assert row_of(disk, "tcg")[2] == "–"
    assert row_of(network, "docker")[1].startswith("0.952× [") and row_of(operations, "docker")[1].startswith(
        "0.995× ["
    )
    assert row_of(ends, "docker")[1:] == ["killed (SIGKILL)", "the host has none"]
    assert row_of(counts, "docker")[1:] == ["open files", "64", "64", "EMFILE (Too many)"]


def test_every_cost_has_a_table_and_few_blocks_conclude_nothing() -> None:
    tables = all_tables(limits.build(_made()))
    assert {table.cost for table in tables if table.cost} == {f"{s}.{m}" for s, m in COSTS}
    said = _words(limits.build(_made(blocks=5)))
    assert said == ["Fewer than six blocks are too few to say whether a limit is enforced."]


def test_a_record_may_say_anything() -> None:
    """Costs that no clock can have are shown or left out, and raise nothing."""
    for odd in (1e-320, 1e300):
        made = _made()
        for table in made.results.tables.values():
            for values in table.values():
                values.values[::2] = odd
        assert limits.build(made)


def test_the_claim_about_cgroups_is_answered() -> None:
    """By what an environment with a cgroup does; what a start with one costs is another run's."""
    (answer,) = (claim.answer(_made()) for claim in claims.CLAIMS if claim.said.startswith("cgroups monitor"))
    assert answer.verdict == "measured" and "does not enforce 20 % of a CPU" in answer.words
    assert (
        answer.words.startswith("docker: enforces ") and "reading what an instance uses: docker 1.00 s" in answer.words
    )
    assert limits.sentence(_made(blocks=5), ("docker",)) == ""


def test_what_monitoring_costs_has_its_own_heading() -> None:
    """Also in a run of nothing else."""
    made = _made()
    record = msgspec.structs.replace(
        made.session,
        scenarios=[one for one in made.session.scenarios if one.name == "monitoring"],
        environments=[msgspec.structs.replace(one, facts={}) for one in made.session.environments],
    )
    only = limits.build(with_session(made, record))
    assert any(isinstance(block, Heading) and block.text == "monitoring" for block in only)


def test_without_limits_there_is_no_section() -> None:
    assert limits.build(context()) == []
