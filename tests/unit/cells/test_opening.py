"""What is opened, and what is skipped with which reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.cells import opening
from isobench.cells.runner import execute
from isobench.contracts.capabilities import Capability, Lack
from isobench.core.errors import NothingMeasured, RequiredMissing, Unavailable
from isobench.planning import catalog
from isobench.results import store
from isobench.results.record import SkipRecord
from isobench.workloads.measured import Measured
from isobench.workloads.workload import Command, Root, Workload
from tests.fake import FakeEnvironment, FakeScenario
from tests.unit.cells.made import request


def test_an_unavailable_environment_is_a_skip(tmp_path: Path) -> None:
    """Its reason and its remedy are in the record."""
    absent = FakeEnvironment("docker", unavailable=Unavailable("no engine", remedy="install one"))
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process"), absent])).path)
    assert [(s.environment, s.reason, s.remedy) for s in run.session.skips] == [("docker", "no engine", "install one")]


def test_an_environment_that_breaks_is_a_skip(tmp_path: Path) -> None:
    """Whatever an engine's library raises while it is opened."""
    odd = FakeEnvironment("docker", unavailable=AttributeError("no such thing"))  # type: ignore[arg-type]
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process"), odd])).path)
    assert [s.environment for s in run.session.skips] == ["docker"]
    assert "AttributeError: no such thing" in run.session.skips[0].reason


def test_a_required_environment_that_is_missing_ends_the_run(tmp_path: Path) -> None:
    """Nothing is measured then."""
    absent = FakeEnvironment("docker", unavailable=Unavailable("no engine"))
    with pytest.raises(RequiredMissing, match="no engine"):
        execute(request(tmp_path, [FakeEnvironment("process"), absent], required=frozenset({"docker"})))


def test_what_the_host_lacks_costs_the_scenario_that_needs_it(tmp_path: Path) -> None:
    """Told for each environment that it would have been measured in; alone, nothing is measured, for that reason."""

    class Lacking(FakeScenario):
        def lacks(self) -> Lack | None:
            return Lack("this host has no fio", "apt-get install fio")

    environments = [FakeEnvironment("process"), FakeEnvironment("other")]
    run = store.load(execute(request(tmp_path, environments, scenarios=[FakeScenario(), Lacking("io")])).path)
    told = [(s.environment, s.scenario, s.reason, s.remedy) for s in run.session.skips]
    assert told == [(e, "io", "this host has no fio", "apt-get install fio") for e in ("process", "other")]
    assert not run.session.failures and {s.scenario for s in run.series} == {"fake"}
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(NothingMeasured, match="no fio"):
        execute(request(again, environments, scenarios=[Lacking("io")]))


def test_who_sets_no_limit_is_told() -> None:
    """With the limit that is not set there; where the probe itself does not run, too."""
    plain, able = FakeEnvironment("plain"), FakeEnvironment("able")
    able.capabilities |= {Capability.LIMIT_CPU}
    chosen = catalog.select_scenarios("limit-cpu,limit-files")
    assert opening._unfit(chosen, [plain, able]) == [
        SkipRecord("plain", "limit-cpu", "isobench sets no limit of CPU time there"),
        SkipRecord("plain", "limit-files", "isobench sets no limit of open files there"),
        SkipRecord("able", "limit-files", "isobench sets no limit of open files there"),
    ]


def test_who_runs_no_programs_is_told() -> None:
    """Of workloads alone; another scenario that does not apply is left out without a word, as ever."""
    workload = Measured(Workload("mine", "mine", lambda: Root(Path()), Command(("x",))))
    plain, able = FakeEnvironment("plain"), FakeEnvironment("able")
    able.capabilities |= {Capability.COMMAND}
    scenarios = [workload, catalog.scenarios()["io"]]
    assert opening._unfit(scenarios, [plain, able]) == [
        SkipRecord("plain", "mine", "it runs no programs but the probe")
    ]


def test_who_can_pull_images_on_other_hosts_says_what_is_missing_here() -> None:
    """With what to do. Of what it has no reason for the general one is told."""

    class Elsewhere(FakeEnvironment):
        def why_without(self, capability: Capability) -> Lack | None:
            return Lack("umoci is not installed", "apt-get install umoci") if capability is Capability.IMAGES else None

    chosen = catalog.select_scenarios("image-scratch,limit-cpu")
    assert {(skip.environment, skip.reason, skip.remedy) for skip in opening._unfit(chosen, [Elsewhere("runc")])} == {
        ("runc", "umoci is not installed", "apt-get install umoci"),
        ("runc", "isobench sets no limit of CPU time there", ""),
    }


def test_an_engine_without_root_says_why_it_has_no_images() -> None:
    """Instead of the general reason, which tells nothing."""
    rootless = [one for name, one in catalog.environments().items() if "rootless" in name]
    skipped = opening._unfit(catalog.select_scenarios("image-scratch"), rootless)
    assert {(skip.environment, "loopback" in skip.reason, "ordinary user" in skip.reason) for skip in skipped} == {
        ("docker-rootless", True, False),
        *((f"podman-rootless{kind}", False, True) for kind in ("", "-fuse", "-slirp")),
    }
