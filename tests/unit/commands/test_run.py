"""A run of the user's own program: what is measured, what repeats it, and how it goes on."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest

from isobench import cli
from isobench.commands import run
from isobench.core.errors import UsageError
from isobench.images import archive
from isobench.results.record import EnvironmentRecord, ScenarioRecord
from isobench.workloads.program import program_workload
from tests.unit.analysis.made import session


@pytest.fixture(autouse=True)
def small_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and a probe of a few bytes in the archives."""
    (tmp_path / "probe").write_text("probe")
    monkeypatch.setattr(archive, "probe_path", lambda: tmp_path / "probe")
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Compiled, and static."""
    target = tmp_path / "mine"
    command = ["/usr/bin/cc", "-x", "c", "-", "-static", "-o", str(target)]
    subprocess.run(command, input=b"int main(void) { return 0; }", check=True)
    return target


def _parsed(line: str) -> tuple[list[str], list[str]]:
    """The names of the scenarios, and the command that repeats the run, without its profile and seed."""
    arguments = cli._parse(shlex.split(line))
    return [scenario.name for scenario in run._scenarios(arguments)], run._command(arguments, 1)


def test_a_program_is_measured_in_the_place_of_the_default_scenarios(program: Path) -> None:
    """And beside those that are named."""
    names, command = _parsed(f"run -e process -- {program} --blocks 7")
    assert names == ["program-mine"] and "-s" not in command
    assert command[-4:] == ["--", str(program), "--blocks", "7"] and run._word_after("--blocks", command) == ""
    names, command = _parsed(f"run -e process -s startup -- {program}")
    assert names == ["program-mine", "startup"]
    assert _parsed(shlex.join(command[1:])) == (names, command)


def test_a_list_in_several_parts_is_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever name the option has; what is not a list is what was given last, and a default is no part."""
    monkeypatch.setenv("ISOBENCH_RUN_SCENARIOS", "io")
    line = "run -e process -s startup --environments chroot,ns-net -s memory --scenarios startup --blocks 3 --blocks 4"
    names, command = _parsed(line)
    assert sorted(names) == ["memory", "startup"]
    assert run._word_after("-e", command) == "process,chroot,ns-net" and run._word_after("--blocks", command) == "4"
    assert cli._parse(shlex.split("doctor -e process -e chroot")).environments == "process,chroot"


def test_a_run_goes_on_with_the_same_program(program: Path) -> None:
    """With its other scenarios; a program that has changed since is refused."""
    made = program_workload([str(program)])
    root = made.root().archive.parent.name.removeprefix("workload-")
    environment = EnvironmentRecord("process", "", "process", "", None, False, facts={"program-mine.root": root})
    before = msgspec.structs.replace(
        session(),
        command=["isobench", "run", "--blocks", "3", "--", str(program)],
        scenarios=[ScenarioRecord(name, "", []) for name in ("program-mine", "startup")],
        environments=[environment],
    )
    assert [scenario.name for scenario in run._scenarios_of(before)] == ["program-mine", "startup"]
    program.write_bytes(program.read_bytes() + b"\n")
    with pytest.raises(UsageError, match="has changed since the run began"):
        run._scenarios_of(before)
