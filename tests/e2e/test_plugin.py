"""The tutorial for plug-ins: a third party's package with an environment and a scenario, installed and measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from isobench.results import store
from tests.documents import ROOT, commands

PLUGIN = Path(__file__).parent / "plugin"
PAGE = ROOT / "docs/plugins.md"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh virtual environment that holds the plug-in; the libraries are those of this one."""
    folder = tmp_path_factory.mktemp("plugin")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
    fresh = folder / "venv/bin/python"
    asked = [str(fresh), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip())
    (site / "beneath.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    copy = folder / "source"
    copy.mkdir()
    for file in PLUGIN.glob("*.*"):
        (copy / file.name).write_bytes(file.read_bytes())
    words = [str(fresh), "-m", "pip", "install", "--quiet", "--no-deps", str(copy)]
    subprocess.run(words, check=True, timeout=300, capture_output=True)
    return fresh


def _isobench(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
    command = [str(python), "-m", "tests.undisturbed", *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)


def test_it_is_listed_and_measured(python: Path, tmp_path: Path) -> None:
    """By name, and in a run beside the built-in ones (no verdict is asked for: a busy host may mark all blocks)."""
    listed = _isobench(python, tmp_path, "list", "environments", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "niced" in {environment["name"] for environment in json.loads(listed.stdout)["environments"]}
    run = _isobench(python, tmp_path, "run", "-e", "niced", "-s", "startup", "--blocks", "6", "--no-report", "--json")
    assert run.returncode in (0, 5), run.stderr
    series = store.load(tmp_path / json.loads(run.stdout)["run"]).series
    assert {"process", "niced"} <= {one.environment for one in series}


def test_the_page_is_about_this_package() -> None:
    """Every file of it is on the page."""
    page = PAGE.read_text(encoding="utf-8")
    assert all(f'--8<-- "tests/e2e/plugin/{file.name}"' in page for file in PLUGIN.glob("*.*"))


def test_the_tutorial_works(python: Path, tmp_path: Path) -> None:
    """Every command of the page, as it stands there; its scenario has samples in both of its environments."""
    shown = [one for one in commands(PAGE) if len(one.words) > 1]  # one word is a command's name in a sentence
    assert [one.words[0] for one in shown if one.words[0] != "list"] == ["doctor", "run", "run"]
    said = ""
    for one in shown:
        done = _isobench(python, tmp_path, *one.words)
        assert done.returncode in (0, 5), f"{one.words}: {done.stderr}"
        said += done.stdout
    assert "PASS  niced" in said and "goodbye.exit" in said
    newest = list(store.find_runs(tmp_path / "results"))[-1]
    assert {(one.scenario, one.environment) for one in store.load(newest).series} == {
        ("goodbye", name) for name in ("process", "process@control", "chroot", "niced")
    }


def test_the_example_keeps_the_contract(python: Path, tmp_path: Path) -> None:
    """It takes part in every default scenario whose needs it offers, without a failed cell."""
    run = _isobench(python, tmp_path, "run", "-e", "niced", "--blocks", "1", "--no-report", "--json")
    assert run.returncode in (0, 5), run.stderr
    loaded = store.load(next(iter(store.find_runs(tmp_path / "results"))))
    assert [failure.reason for failure in loaded.session.failures] == []
    assert {one.scenario for one in loaded.series if one.environment == "niced"} == {"startup", "memory", "syscall"}
