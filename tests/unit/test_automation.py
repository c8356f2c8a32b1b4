"""What runs elsewhere: the workflows and the timer, checked by the linters made for them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").iterdir())
NIGHTLY = ROOT / ".github/workflows/nightly.yml"
UNITS = sorted((ROOT / "contrib/systemd").iterdir())


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_the_workflow_is_one(workflow: Path) -> None:
    """GitHub's own schema of workflows, as check-jsonschema brings it."""
    _run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_the_workflow_is_safe(workflow: Path) -> None:
    """zizmor: unpinned actions, credentials left on disk, injected templates, dangerous triggers."""
    zizmor = Path(sys.executable).with_name("zizmor")
    _run(str(zizmor), "--offline", "--persona=pedantic", "--quiet", str(workflow))


def test_strangers_do_not_run_on_the_machine() -> None:
    """A self-hosted runner takes no pull requests, and one night at a time."""
    text = NIGHTLY.read_text()
    assert "pull_request" not in text and "concurrency:" in text and "self-hosted" in text


@pytest.mark.tool("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_units_are_valid(unit: Path) -> None:
    """systemd's own verifier has nothing to say."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line or "isobench" in line]
    assert done.returncode == 0 and said == [], done.stderr


def test_the_lock_file_locks_what_the_project_names() -> None:
    """Every dependency is pinned to one version, which the lower bound in pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [Requirement(text) for text in project["dependencies"]]
    named += [Requirement(text) for texts in project["optional-dependencies"].values() for text in texts]
    lines = (ROOT / ".ci/lock.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in lines)
    pinned = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    for one in named:
        assert one.specifier.contains(pinned[canonicalize_name(one.name)], prereleases=True), one


def test_the_pythons_that_wheels_are_tried_on_are_those_that_are_promised() -> None:
    """The session's are the classifiers', and begin with the lowest that is required."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = [one.rpartition(" ")[2] for one in project["classifiers"] if "Python :: 3." in one]
    session = re.search(
        r"^@nox\.session\(python=\[(.*)\]\)\ndef wheels", (ROOT / "noxfile.py").read_text(), re.MULTILINE
    )
    assert session is not None and re.findall(r'"([\d.]+)"', session[1]) == said
    assert project["requires-python"] == f">={said[0]}"


@given(st.just(0.3))
def test_an_example_may_take_its_time(seconds: float) -> None:
    """A loaded host fails no test: hypothesis would, after 200 ms."""
    time.sleep(seconds)
