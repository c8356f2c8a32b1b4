"""What an installation gets: one import package, with everything that it needs, by way of the source archive."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.documents import ROOT


def test_the_wheel_has_one_import_package(wheel: Path) -> None:
    """No `bench` and no `scenarios` at the top, where other projects' are; every file of both folders is inside."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"isobench"}
    ours = {f"isobench/{file.relative_to(ROOT / 'bench')}" for file in (ROOT / "bench").rglob("*") if file.is_file()}
    ours |= {f"isobench/{file.relative_to(ROOT)}" for file in (ROOT / "scenarios").rglob("*") if file.is_file()}
    collection = ROOT / "contrib/ansible"
    ours |= {
        f"isobench/fleet/collection/{f.relative_to(collection)}"
        for s in ("yml", "md")
        for f in collection.rglob(f"*.{s}")
    }
    assert {name for name in names if ".dist-info/" not in name} == {n for n in ours if "__pycache__" not in n}


def test_the_source_archive_has_the_schemas_and_the_documentation(wheel: Path) -> None:
    """Every schema of `--json`, and every page."""
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert names >= {str(file.relative_to(ROOT)) for file in (ROOT / "docs").glob("*.*")}


def test_what_is_installed_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """From a folder that has a `bench` and `scenarios` of its own."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, timeout=300, capture_output=True)
    for name in ("bench", "scenarios"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "__init__.py").write_text("raise ImportError('not isobench')\n")
    environ = {**os.environ, "PYTHONPATH": str(site)}
    for words in (
        ("list", "environments"),
        ("list", "scenarios"),
        ("run", "-e", "process", "-s", "startup", "--blocks", "1"),
    ):
        command = [sys.executable, "-m", "isobench", *words]
        done = subprocess.run(
            command, cwd=elsewhere, env=environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode in (0, 5), done.stderr  # 5: one block concludes nothing
    assert list(elsewhere.glob("reports/*/*/index.html"))


@pytest.mark.parametrize("name", ["isobench", "bench"])
def test_a_checkout_works_without_an_installation(name: str) -> None:
    """By its own name and by its folder's, which is the same program."""
    command = [sys.executable, "-m", name, "list", "scenarios"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "syscall" in done.stdout, done.stderr
