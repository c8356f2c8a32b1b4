"""What is chosen on a command line: what is measured, and the command that repeats it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from isobench import cli
from isobench.commands import run
from isobench.planning import choice
from isobench.planning.resume import word_after


def _parsed(line: str) -> tuple[list[str], list[str]]:
    """The names of the scenarios, and the command that repeats the run."""
    chosen = run._choice(cli._parse(shlex.split(line)))
    return [scenario.name for scenario in choice.scenarios(chosen)], choice.command(chosen, None, 1)


def test_a_program_is_measured_in_the_place_of_the_default_scenarios(program: Path) -> None:
    """And beside those that are named."""
    names, command = _parsed(f"run -e process -- {program} --blocks 7")
    assert names == ["program-mine"] and "-s" not in command
    assert command[-4:] == ["--", str(program), "--blocks", "7"] and word_after("--blocks", command) == ""
    names, command = _parsed(f"run -e process -s startup -- {program}")
    assert names == ["program-mine", "startup"]
    assert _parsed(shlex.join(command[1:])) == (names, command)


def test_a_list_in_several_parts_is_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever name the option has; what is not a list is what was given last, and a default is no part."""
    monkeypatch.setenv("ISOBENCH_RUN_SCENARIOS", "io")
    line = "run -e process -s startup --environments chroot,ns-net -s memory --scenarios startup --blocks 3 --blocks 4"
    names, command = _parsed(line)
    assert sorted(names) == ["memory", "startup"]
    assert word_after("-e", command) == "process,chroot,ns-net" and word_after("--blocks", command) == "4"
    assert cli._parse(shlex.split("doctor -e process -e chroot")).environments == "process,chroot"
