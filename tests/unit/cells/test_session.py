"""What is recorded of a run before its first block."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.cells.runner import execute
from isobench.contracts.capabilities import Capability
from isobench.core.errors import UsageError
from isobench.host import machine
from isobench.results import store
from tests.fake import FakeEnvironment, FakeSandbox, FakeScenario
from tests.unit.cells.made import interrupted, request, resume


def test_facts_that_break_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an environment says of itself is asked for with the same care."""

    def broken(self: FakeSandbox) -> dict[str, str]:
        raise IndexError("list index out of range")

    monkeypatch.setattr(FakeSandbox, "facts", broken)
    session = execute(request(tmp_path, [FakeEnvironment("process")])).session
    assert "please report it: IndexError" in session.environments[0].facts["facts"]


def test_rungs_beneath_are_recorded(tmp_path: Path) -> None:
    """What lies between two measured rungs is known by name, though it was not run."""
    between = FakeEnvironment("ns-all")
    run = store.load(execute(request(tmp_path, [FakeEnvironment("process")], beneath=[between])).path)
    assert [e.name for e in run.session.beneath] == ["ns-all"]
    assert between.launches == 0


def test_a_scenario_without_metrics_tells_facts_only(tmp_path: Path) -> None:
    """It has no cell in a block, and its facts stand with the environment."""

    class Look(FakeScenario):
        metrics = ()  # type: ignore[assignment]

        def facts(self, sandbox: FakeSandbox) -> dict[str, str]:
            return {"seen": "1"}

    environments, scenarios = [FakeEnvironment("process")], [FakeScenario(), Look("look")]
    session = store.load(execute(request(tmp_path, environments, scenarios=scenarios)).path).session
    assert {cell.scenario for block in session.blocks for cell in block.cells} == {"fake"}
    assert session.environments[0].facts["look.seen"] == "1"


def test_a_sandbox_that_reports_no_facts_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another package may lack them: the record says so."""
    monkeypatch.delattr(FakeSandbox, "facts")
    session = execute(request(tmp_path, [FakeEnvironment("process")])).session
    assert "no attribute 'facts'" in session.environments[0].facts["facts"]


def test_fios_version_is_recorded_where_fio_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every environment with the root file system, whatever its mechanism tells of itself, and of no other."""
    monkeypatch.setattr("isobench.cells.session.fio_fact", lambda: {"version.fio": "fio-9.99"})
    rooted = FakeEnvironment("rooted")
    rooted.capabilities = frozenset({*rooted.capabilities, Capability.ROOTFS})
    session = execute(request(tmp_path, [FakeEnvironment("process"), rooted])).session
    assert [environment.facts.get("version.fio") for environment in session.environments] == [None, "fio-9.99"]
    assert session.versions["fio"] == "fio-9.99"


def test_the_program_is_part_of_what_a_trend_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which probe was measured is recorded; where only a null kernel runs, there is none."""
    monkeypatch.setattr("isobench.cells.session.probe_fact", lambda: {"version.probe": "0123abcd"})
    null = FakeEnvironment("null")
    null.capabilities = frozenset({Capability.READY})
    session = execute(request(tmp_path, [FakeEnvironment("process"), null])).session
    assert [environment.facts.get("version.probe") for environment in session.environments] == ["0123abcd", None]
    assert session.fingerprint["probe"] == "0123abcd"


@pytest.mark.parametrize(
    ("fact", "said"),
    [("kernel", "kernel was 6.1, is 6.9"), ("version.fake", "fake was 1, is 2"), ("isobench", "isobench was ")],
)
def test_a_run_does_not_go_on_with_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fact: str, said: str
) -> None:
    """Another kernel, engine, probe or isobench: the difference would be taken for a cost. The run stays as it was."""
    monkeypatch.setattr(machine, "fingerprint", lambda: {"kernel": "6.1"})
    again = interrupted(tmp_path, 2)
    if fact == "kernel":
        monkeypatch.setattr(machine, "fingerprint", lambda: {"kernel": "6.9"})
    elif fact == "isobench":
        monkeypatch.setattr("isobench.__version__", "another")
    else:
        monkeypatch.setattr(FakeSandbox, "facts", lambda self: {"version.fake": "2"})
    assert again.before is not None
    files = {file.name: file.read_bytes() for file in again.before.path.iterdir()}
    with pytest.raises(UsageError, match=said):
        resume(again)
    assert {file.name: file.read_bytes() for file in again.before.path.iterdir()} == files
