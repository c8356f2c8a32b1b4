"""A new environment, scenario, section, export format and command are one file each: added to a copy, and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.results import store
from isobench.results.record import PurposeRecord
from tests.documents import ROOT

ENVIRONMENT = '''"""A rung."""

from isobench.contracts.mechanism import Engine, Keeper, Mechanism, Tool
from isobench.environments.native.rungs import Isolation, Native

MECHANISM = Mechanism(
    "added",
    lambda run: [f"added swept {run}"],
    ("addedctl",),
    (Tool("addedctl", ("added-tools",)),),
    engine=Engine("ADDED_HOST", ("added:///usual",)),
    keepers=(Keeper("sleep", "added instance"),),
    cgroups=("added.slice",),
)


class Added(Native):
    mechanisms = (MECHANISM,)


ENVIRONMENTS = (
    Added("added", "an added rung", Isolation(), layer="process", adds="nothing", compared_with="process",
          groups=("kinds", "added-group")),
)
'''
SCENARIO = '''"""A scenario."""

from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import idle
from isobench.core.model import Metric, Purpose


class Added:
    name, title = "added", "An added scenario"
    needs, groups, typical_seconds = frozenset({Capability.READY}), frozenset({"default"}), 0.5
    metrics = (Metric("ready", "second", "until it says ready", purpose=Purpose(15, "Adding", "until it is added")),)

    def measure(self, sandbox):
        with sandbox.launch(idle()) as instance:
            instance.wait()
        return {"ready": (instance.events["ready"] - instance.events["requested"]) / 1e9}


SCENARIOS = (Added(),)
'''
SECTION = '''"""A section."""

from isobench.layout.blocks import Paragraph
from isobench.report.context import Section

SECTION = Section(83, "added", "An added section", lambda context: [Paragraph("It was added.")])
'''
FORMAT = '''"""A format."""

from isobench.export._shared import Format

FORMAT = Format("added", "added", lambda results: results.session.run_id.encode())
'''
COMMAND = '''"""isobench added: a command that was added."""

EXAMPLES = ""


def documents():
    return {}


def configure(parser):
    parser.add_argument("word")


def run(arguments):
    print(f"added: {arguments.word}")
    return 0
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with five files more, and nothing changed."""
    folder = tmp_path_factory.mktemp("copy")
    package = folder / "isobench"
    shutil.copytree(ROOT / "bench", package, ignore=shutil.ignore_patterns("__pycache__"))
    for place, text in {
        "environments/native": ENVIRONMENT,
        "scenarios": SCENARIO,
        "report/sections": SECTION,
        "export": FORMAT,
        "commands": COMMAND,
    }.items():
        (package / place / "added.py").write_text(text)
    return folder


def _isobench(copy: Path, *words: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", "isobench", *words]
    done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 5), f"{words}: {done.stderr}"  # 5: a busy host may mark all blocks
    return done.stdout + done.stderr


def test_a_command_is_one_file(copy: Path) -> None:
    """It is run, and help tells of it."""
    assert _isobench(copy, "added", "word") == "added: word\n"
    assert "a command that was added" in _isobench(copy, "--help")


def test_an_environment_is_one_file(copy: Path) -> None:
    """It is listed and launched; its tool is shown by doctor, its program known, its sweep called at a run's end."""
    assert "an added rung" in _isobench(copy, "list", "environments")
    said = _isobench(copy, "doctor", "-e", "added", "--json")
    assert '"addedctl"' in said and "apt-get install added-tools" in said
    program = "from isobench.planning import catalog; print(*catalog.programs()); print(catalog.sweep('isobench-x'))"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, timeout=120, check=True)
    assert "addedctl" in done.stdout.split() and "added swept isobench-x" in done.stdout


def test_what_a_mechanism_says_of_the_host_is_heeded(copy: Path, tmp_path: Path) -> None:
    """Other people's instances are counted, the engine that a run used is recorded and asked for, and throttling in
    its cgroup counts."""
    with subprocess.Popen(["sleep", "60"]) as other:
        assert "other added instances" in _isobench(copy, "doctor", "-e", "added", "--json")
        other.kill()
    program = """
import json
from isobench.host import machine
from isobench.lifecycle import engines
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
with workspace(new_run_id()) as workdir:
    record = json.loads((workdir / "run.json").read_text())
print(record["engines"]["ADDED_HOST"], engines.unknown(record))
print(engines.unknown({"engines": {"ADDED_HOST": "added:///usual"}}) or "usual")
print(engines.unknown({"engines": {"ADDED_HOST": "added:///far"}}))
print([cgroup for mechanism in catalog.mechanisms() for cgroup in mechanism.cgroups if "added" in cgroup])
"""
    environ = {**os.environ, "ADDED_HOST": "added:///mine", "ISOBENCH_STATE": str(tmp_path)}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=copy, env=environ, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["added:///mine", "usual", "ADDED_HOST=added:///far", "['added.slice']"]


def test_a_group_is_what_environments_say(copy: Path) -> None:
    """It can be named like the usual ones."""
    assert "added" in _isobench(copy, "run", "--dry-run", "-e", "process,added-group")


def test_a_scenario_a_section_and_a_format_are_one_file_each(copy: Path) -> None:
    """The scenario is in a plain run's plan and is measured, the section in its report, the format in an export."""
    assert "added" in _isobench(copy, "run", "--dry-run", "-e", "added")
    _isobench(copy, "run", "-e", "added", "-s", "added", "--blocks", "1")
    (page,) = copy.glob("reports/*/*/index.html")
    assert "It was added." in page.read_text()
    (run,) = copy.glob("results/*/*/session.json")
    stored = store.load(run.parent)
    series, groups = stored.series, {one.name: one.groups for one in stored.session.environments}
    assert stored.session.scenarios[0].metrics[0].purpose == PurposeRecord(15, "Adding", "until it is added")
    assert groups["added"] == ["added-group", "kinds"]
    assert {(s.scenario, s.metric) for s in series if s.environment == "added"} == {("added", "ready")}
    _isobench(copy, "export", str(run.parent), "--to", "added", "--out", "made.added")
    assert (copy / "made.added").read_text() in run.read_text()
