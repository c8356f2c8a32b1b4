"""An environment of a third party's package, found by its entry point and measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from bench import store

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "plugin"


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
    command = [str(python), "-m", "bench", *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)


def test_it_is_listed_and_measured(python: Path, tmp_path: Path) -> None:
    """By name, and in a run beside the built-in ones (no verdict is asked for: a busy host may mark all blocks)."""
    listed = _isobench(python, tmp_path, "list", "environments", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "niced" in {environment["name"] for environment in json.loads(listed.stdout)}
    run = _isobench(python, tmp_path, "run", "-e", "niced", "-s", "startup", "--blocks", "6", "--no-report", "--json")
    assert run.returncode in (0, 5), run.stderr
    series = store.load(tmp_path / json.loads(run.stdout)["run"]).series
    assert {"process", "niced"} <= {one.environment for one in series}
