"""What tests of several files share: a real browser, and what an installation gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.documents import ROOT
from tests.example import chrome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

PARTS = ("bench", "scenarios", "isobench", "contrib", "docs", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium with a profile of its own, which logs what it asks the network for."""
    started = chrome(tmp_path_factory.mktemp("profile"), loggingPrefs={"browser": "ALL", "performance": "ALL"})
    started.set_script_timeout(300)  # a busy machine may take a minute for axe
    yield started
    started.quit()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the source archive, by the build backend that pyproject.toml asks for."""
    folder = tmp_path_factory.mktemp("packaging")
    tree, backend = folder / "tree", folder / "backend"
    tree.mkdir()
    shutil.copytree(ROOT, tree, symlinks=True, dirs_exist_ok=True, ignore=_only_parts)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(backend), *wanted]
    subprocess.run(pip, check=True, timeout=300, capture_output=True)
    with tarfile.open(folder / _built(tree, backend, "build_sdist", folder)) as archive:
        archive.extractall(folder / "unpacked")  # ours; Debian 12 has no filter yet
    (unpacked,) = (folder / "unpacked").iterdir()
    return folder / _built(unpacked, backend, "build_wheel", folder)


def _only_parts(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__" or (Path(folder) == ROOT and name not in PARTS)]


def _built(tree: Path, backend: Path, what: str, to: Path) -> str:
    command, environ = [sys.executable, "-c", BUILD, what, str(to)], {**os.environ, "PYTHONPATH": str(backend)}
    done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
