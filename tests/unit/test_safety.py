"""What must not be in the sources, and what results must not be able to do."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.core.errors import StoreError
from isobench.results import store
from tests.unit.results.test_store import write

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "bench").rglob("*.py"), *(ROOT / "scenarios").rglob("*.py")])
MECHANISMS = [file for file in SOURCES if "environments" in file.parts]
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
STARTERS = {"run", "Popen", "call", "check_call", "check_output"}
"""Of subprocess: what has a shell where it is told so. (A record may have a field of that name.)"""
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "mktemp", "tempnam", "system", "popen", "read_pickle"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT)))
def test_nothing_is_executed_or_unpickled(file: Path) -> None:
    """No pickle, no eval, no shell, no temporary name that can be guessed, no XML out of format strings."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            bare = isinstance(node.func, ast.Name) or name.startswith(("os.", "tempfile.", "pd.", "builtins."))
            assert not (bare and name.rpartition(".")[2] in FORBIDDEN_CALLS), f"{file}:{node.lineno}: {name}"
            shell = [k for k in node.keywords if k.arg == "shell" and name.rpartition(".")[2] in STARTERS]
            assert not shell, f"{file}:{node.lineno}: shell="
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith("/tmp/"), f"{file}:{node.lineno}: a name that can be guessed"


@pytest.mark.parametrize("file", MECHANISMS, ids=lambda f: str(f.relative_to(ROOT)))
def test_domains_are_built(file: Path) -> None:
    """No element is written by formatting a string."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
            assert not str(node.values[0].value).startswith("<"), f"{file}:{node.lineno}"


@pytest.mark.parametrize("evil", ["../../etc", "/etc", "..", ".", "", "a/b", "a\0b", "a\nb", "x" * 300])
@pytest.mark.parametrize("field", ["host_id", "run_id"])
def test_a_record_cannot_name_a_path(tmp_path: Path, field: str, evil: str) -> None:
    """What becomes part of a path is a plain name, or the record is refused."""
    path = write(tmp_path)
    record = json.loads((path / store.SESSION).read_bytes())
    (path / store.SESSION).write_text(json.dumps({**record, field: evil}))
    with pytest.raises(StoreError, match=field):
        store.load(path)


@pytest.mark.parametrize("evil", ["../../etc/passwd", "2026-01-02T03:04:05Z/../..", "yesterday", ""])
def test_a_record_cannot_name_a_time_that_is_a_path(tmp_path: Path, evil: str) -> None:
    """The start of a run names its folder."""
    path = write(tmp_path)
    record = json.loads((path / store.SESSION).read_bytes())
    (path / store.SESSION).write_text(json.dumps({**record, "started": evil}))
    with pytest.raises(StoreError, match="started"):
        store.load(path)


@pytest.mark.parametrize("module", ["isobench", "isobench.daemons"])
def test_no_module_of_the_current_folder_is_imported(module: str, tmp_path: Path) -> None:
    """`python -m` looks there first, and in a shared folder anybody may have put one there for root."""
    for name in ("argparse", "docker", "hashlib", "json", "libvirt", "msgspec", "rich", "shutil", "subprocess"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
    words = [sys.executable, "-m", module, *(("list",) if module == "isobench" else ("true",))]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": "unix:///none", "ISOBENCH_LIBVIRT_URI": "test:///"}
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "executed" in done.stderr) == (0, False), done.stderr


def test_a_checkout_is_run_from_its_folder() -> None:
    """Where the package is the current folder's, nothing else tells where it is."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, "-m", "isobench", "--version"]
    assert subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, check=False).returncode == 0
