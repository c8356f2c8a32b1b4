"""What a run says about what people claim."""

from __future__ import annotations

import msgspec

from isobench.layout.blocks import plain
from isobench.planning import catalog
from isobench.report.context import Context
from isobench.report.sections import claims
from isobench.results.record import MetricRecord, ScenarioRecord, SkipRecord
from isobench.results.store import Run, Series
from tests.unit.report.made import (
    all_tables,
    context,
    estimate,
    results_of,
    session,
    with_differences_of_none,
    with_session,
)


def test_claims_without_a_measurement_are_open() -> None:
    """A run of startup alone leaves memory and overhead open, and says how containers compare with VMs."""
    rows = [estimate("startup", "ready", n, r) for n, r in (("process", 1.0), ("docker", 300.0), ("tcg", 3000.0))]
    made = with_differences_of_none(context(estimates=rows, blocks=8))
    (table,) = all_tables(claims.build(made))
    verdicts = {plain(row[0].text)[:20]: plain(row[1].text) for row in table.rows}
    assert len(verdicts) == 13
    assert verdicts["Containers are light"] == "measured", "an emulated guest decides no claim about virtual machines"
    assert verdicts["Containers save reso"] == "open"
    made.session.host["virtual"] = "bare metal"
    rows = [row._replace(environment=row.environment.replace("tcg", "kvm")) for row in rows]
    made = with_session(with_differences_of_none(context(estimates=rows, blocks=8)), made.session)
    (table,) = all_tables(claims.build(with_differences_of_none(made)))
    assert "holds" in [plain(row[1].text) for row in table.rows]


FACTS = {
    "kernel": "the host's",
    "capabilities": "14",
    "seccomp": "filter",
    "pid": "1",
    "environment": "A",
    "umask": "22",
    "writable": "none",
    "files": "33",
    "setuid": "0",
    "host_calls": "50",
}
"""Of the surface scenario."""


def _run_of(scenarios: str, but: tuple[str, ...] = ()) -> Context:
    """A run of the default environments in which whatever can be measured was; some of them are not to be had."""
    environments, chosen = catalog.select_environments("default"), catalog.select_scenarios(scenarios)
    rows = [
        estimate(scenario.name, metric.name, environment.name, 1.0 + number, unit=metric.unit)
        for scenario in chosen
        for metric in scenario.metrics
        for number, environment in enumerate(environments)
        if environment.name not in but and scenario.needs <= environment.capabilities
    ]
    blocks = list(range(1, 9))
    series = [Series(e.scenario, e.metric, e.environment, e.unit, blocks, [e.median] * 8, []) for e in rows]
    record = session(environments=[(e.name, e.layer, e.compared_with, e.single_factor, 1.0) for e in environments])
    facts = {f"surface.{fact}": text for fact, text in FACTS.items()} | {"storage": "overlay2 on /var/lib/docker"}
    record = msgspec.structs.replace(
        record,
        environments=[
            msgspec.structs.replace(one, facts={} if one.name in but else facts) for one in record.environments
        ],
        skips=[SkipRecord(name, "", f"no {name} here") for name in but],
        left_behind=[],
        scenarios=[
            ScenarioRecord(one.name, one.title, [MetricRecord(m.name, m.unit, m.meaning) for m in one.metrics])
            for one in chosen
        ],
    )
    return with_differences_of_none(Context(results_of(Run(context().run.path, record, series), rows)))


def _open(made: Context) -> dict[str, str]:
    (table,) = all_tables(claims.build(made))
    return {plain(row[0].text): plain(row[2].text) for row in table.rows if plain(row[1].text) == "open"}


def test_no_claim_is_open_in_a_run_with_limits_and_neighbours() -> None:
    """Of the default environments, as `isobench run -s default,limits,neighbours` has them."""
    assert _open(_run_of("default,limits,neighbours")) == {}


def test_without_docker_and_guests_only_the_claims_about_them_and_cgroups_are_open() -> None:
    """The other environments of the defaults have no cgroup that they could limit."""
    found = _open(_run_of("default,limits,neighbours", ("docker", "tcg-null", "tcg", "kvm-null", "kvm")))
    assert set(found) == {claim.said for claim in claims.CLAIMS if claim.of or claim.said.startswith("cgroups")}


def test_a_run_of_the_defaults_says_which_claim_it_leaves_to_whom_and_why() -> None:
    (words,) = _open(_run_of("default")).values()
    assert words.startswith("not measured in this run, but by isobench run -e ladder -s startup,limits (a limit must")


def test_an_open_claim_says_which_environment_is_not_to_be_had() -> None:
    """If that is why; nothing is said where another environment of the same kind was measured."""
    without_docker = _open(_run_of("default,limits,neighbours", ("docker", "kvm")))
    light = next(words for said, words in without_docker.items() if said.startswith("Containers are lightweight"))
    assert light == "not measured in this run, but by isobench run (docker is unavailable: no docker here)"
    without_guests = _open(_run_of("default,limits,neighbours", ("tcg-null", "tcg", "kvm-null", "kvm")))
    own = next(words for said, words in without_guests.items() if said.startswith("A virtual machine"))
    assert own.endswith("(kvm is unavailable: no kvm here; tcg is unavailable: no tcg here)")
    assert not any(said.startswith("cgroups") for said in {**without_docker, **without_guests})


def test_every_claim_that_another_run_answers_says_why() -> None:
    """The defaults are a command without options."""
    assert [claim.said for claim in claims.CLAIMS if (claim.command == "isobench run") == bool(claim.why)] == []
