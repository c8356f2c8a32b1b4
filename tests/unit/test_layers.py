"""Imports only point down, and the heavy packages have one importer each."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS: dict[str, int] = {
    "bench": 0,
    "bench.errors": 0,
    "bench.model": 0,
    "bench.text": 0,
    "bench.terminal": 1,
    "bench.reasons": 1,
    "bench.ownership": 1,
    "bench.paths": 1,
    "bench.cache": 1,
    "bench.record": 1,
    "bench.suite": 1,
    "bench.journal": 1,
    "bench.store": 1,
    "bench.streams": 1,
    "bench.signals": 1,
    "bench.deadlines": 1,
    "bench.programs": 1,
    "bench.files": 1,
    "bench.mounts": 1,
    "bench.accounting": 1,
    "bench.serving": 1,
    "bench.heartbeat": 1,
    "bench.host": 1,
    "bench.memory": 2,
    "bench.probe": 1,
    "bench.environment": 2,
    "bench.images": 2,
    "bench.cgroups": 2,
    "bench.launcher": 2,
    "bench.daemons": 2,
    "bench.environments": 3,
    "bench.scenario": 3,
    "bench.answers": 3,
    "bench.capacity": 3,
    "scenarios": 4,
    "bench.analysis": 4,
    "bench.rests": 4,
    "bench.runner": 4,
    "bench.sight": 4,
    "bench.report": 5,
    "bench.export": 5,
    "bench.bundle": 5,
    "bench.catalog": 6,
    "bench.lifecycle": 6,
    "bench.measuring": 6,
    "bench.provision": 6,
    "bench.apt": 2,
    "bench.packages": 2,
    "bench.progress": 6,
    "bench.estimate": 6,
    "bench.doctor": 7,
    "bench.commands": 7,
    "bench.config": 7,
    "bench.cli": 7,
    "bench.__main__": 7,
}
"""ARCHITECTURE.md's table. A package stands for all that is in it."""

ONLY_IN = {
    "pandas": ("bench.analysis", "bench.report", "bench.progress", "bench.export"),
    "scipy": ("bench.analysis",),
    "matplotlib": ("bench.report.charts",),
    "docker": ("bench.environments._docker",),
    "libvirt": ("bench.environments._libvirt", "bench.environments._domain", "bench.environments.guest"),
}
"""Heavy packages and who may import them."""


def _modules() -> list[tuple[str, Path]]:
    files = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "scenarios").rglob("*.py")]
    names = [(".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), f) for f in files]
    return sorted(names)


def _layer(module: str) -> int:
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        found = LAYERS.get(".".join(parts[:length]))
        if found is not None and (length > 1 or parts[0] != "bench" or len(parts) == 1):
            return found
    raise AssertionError(f"{module} is in no layer of the table")


def _imports(file: Path) -> list[str]:
    """Every module imported anywhere in a file, but for type checking."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [one if _is_module(one) else node.module for one in inner]
    return found


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()


@pytest.mark.parametrize(("name", "file"), _modules())
def test_imports_point_down(name: str, file: Path) -> None:
    """A module imports only what is in its own layer or below."""
    for imported in _imports(file):
        if imported.split(".")[0] in ("bench", "scenarios"):
            assert _layer(imported) <= _layer(name), f"{name} imports {imported}, which is above it"


@pytest.mark.parametrize(("name", "file"), _modules())
def test_heavy_packages_have_their_importers(name: str, file: Path) -> None:
    """pandas, matplotlib, the SDKs are imported where the table says and nowhere else."""
    for imported in _imports(file):
        owners = ONLY_IN.get(imported.split(".")[0])
        assert owners is None or name.startswith(owners), f"{name} imports {imported}"


def test_the_table_is_the_documented_one() -> None:
    """Every module of the table is named in ARCHITECTURE.md."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for module in LAYERS:
        path = module.replace(".", "/")
        assert f"{path}" in page, f"ARCHITECTURE.md does not say where {module} belongs"
