"""What must not be in the sources, and what results must not be able to do."""

from __future__ import annotations

import ast
import json
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
