"""Imports only point down, by the table of ARCHITECTURE.md; heavy packages have one importer each; `isobench list`
imports nothing slow.

`python -m verification.crosscheck start` times that; what is not imported takes no time on any machine.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("bench", "scenarios", "verification", "tests")

ONLY_IN = {
    "pandas": ("isobench.analysis.frames",),
    "scipy": (),
    "matplotlib": ("isobench.report.charts",),
    "ansible_runner": ("isobench.fleet.playing",),
    "docker": ("isobench.environments.docker._sdk",),
    "libvirt": ("isobench.environments.libvirt._connection",),
}
"""Heavy packages and who may import them."""

SLOW = {
    *("asyncio", "concurrent", "dataclasses", "hashlib", "inspect", "ipaddress", "json", "locale", "pathlib"),
    *("random", "selectors", "shutil", "socket", "statistics", "subprocess", "tarfile", "tempfile", "threading"),
    *("argcomplete", "docker", "libvirt", "matplotlib", "msgspec", "numpy", "pandas", "pyperf", "requests", "rich"),
    *("tomllib", "urllib", "xml"),
}
"""Each takes as long as a tenth of a start of Python, or longer."""
MEASURING = """
import sys
from isobench.cells import runner

def execute(*_, **__):
    print(*sys.modules, "isobench.cells.runner")
    raise KeyboardInterrupt

runner.execute = execute
from isobench.cli import main
main(sys.argv[1:])
"""
"""Prints the modules that are imported when a run begins to measure."""
ROOMS = {
    *("analysis", "cells", "daemons", "estimation", "guests", "images", "layout", "lifecycle", "nights", "probe"),
    *("report", "resources", "results"),
}
"""Of ours: what works, and is no declaration."""
LATE = {
    "isobench.__main__": ("isobench.cli", "isobench.core.terminal"),  # after it is said how seldom to look for garbage
    "isobench.analysis.results": ("isobench.analysis.frames",),  # pandas, for samples only
    "isobench.commands.fleet": ("isobench.fleet.playing",),  # Ansible is an extra
    "isobench.commands.nightly": ("isobench.analysis.results", "isobench.commands._night"),
    "isobench.commands.run": ("isobench.run.outcome",),
    "isobench.export.bundle": ("isobench.report.build",),
    "isobench.export.history": ("pyarrow",),  # an extra
    "isobench.planning.choice": ("isobench.planning.workloads",),  # few runs have one
    "isobench.report.charts.drawing": ("matplotlib", "matplotlib.figure"),  # when a picture is looked at
    "isobench.report.charts.scales": ("matplotlib.dates", "matplotlib.ticker"),
    "isobench.report.context": ("isobench.analysis.results",),  # plug-ins import it
    "isobench.run.measurement": ("isobench.analysis.stopping",),
    "isobench.run.progress": ("isobench.analysis.verdicts",),
}
"""What is imported inside functions though no start of isobench would pay for it: most of it is numpy, which is not to
be in memory while a run is measured."""
LOADED = """
import sys
if len(sys.argv) > 1:
    from isobench.cli import main
    main(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
"""


def _layers() -> dict[str, int]:
    """Room or module -> its layer, as ARCHITECTURE.md's table has it."""
    rows = re.findall(r"^\| (\d+) \| `bench/([\w/.]+)` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    names = [(f"isobench/{path}".removesuffix("/__init__.py").removesuffix(".py").rstrip("/"), n) for n, path in rows]
    return {name.replace("/", "."): int(layer) for name, layer in names}


LAYERS = _layers()


@cache
def _modules() -> dict[str, Path]:
    """Every module of the package by its name. (Links are not followed by `rglob`.)"""
    found = {".".join(("isobench", *f.relative_to(ROOT / "bench").parts)): f for f in (ROOT / "bench").rglob("*.py")}
    found |= {".".join(("isobench", *f.relative_to(ROOT).parts)): f for f in (ROOT / "scenarios").rglob("*.py")}
    names = {name.removesuffix(".py").removesuffix(".__init__"): file for name, file in found.items()}
    return dict(sorted(names.items()))


def _room(module: str) -> str:
    """What stands for this module in the table."""
    return module if module in LAYERS else ".".join(module.split(".")[:2])


@cache
def _imports(file: Path, *, late: bool = False) -> tuple[str, ...]:
    """Every module imported anywhere in a file, but for type checking; `late`: only those inside functions."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found: list[str] = []
    for node in itertools.chain(*map(ast.walk, functions if late else [tree])):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [one if one in _modules() else node.module for one in inner]
    return tuple(found)


def _ours(file: Path) -> list[str]:
    return [name for name in _imports(file) if name.split(".")[0] == "isobench"]


def test_every_room_is_in_the_table() -> None:
    """And the table names no other."""
    assert {_room(name) for name in _modules()} == LAYERS.keys()


@pytest.mark.parametrize("name", _modules())
def test_imports_point_down(name: str) -> None:
    """A module imports only what is in its own room or in a lower layer."""
    for imported in _ours(_modules()[name]):
        here, there = _room(name), _room(imported)
        assert here == there or LAYERS[there] < LAYERS[here], f"{name} imports {imported}, which is not below it"


def test_there_are_no_circles() -> None:
    """No module imports itself through others, not even inside functions."""
    TopologicalSorter({name: set(_ours(file)) - {name} for name, file in _modules().items()}).prepare()


def test_an_import_inside_a_function_counts(tmp_path: Path) -> None:
    """As a module's own, and not what only a type checker reads."""
    body = "import os\n\ndef late() -> None:\n    from isobench.core import text\n"
    (tmp_path / "one.py").write_text(f"{body}\nif TYPE_CHECKING:\n    import pandas\n")
    assert _imports(tmp_path / "one.py") == ("os", "isobench.core.text")
    assert _imports(tmp_path / "one.py", late=True) == ("isobench.core.text",)


@pytest.mark.parametrize("name", _modules())
def test_heavy_packages_have_their_importers(name: str) -> None:
    """pandas, matplotlib, the SDKs are imported where the table says and nowhere else."""
    for imported in _imports(_modules()[name]):
        owners = ONLY_IN.get(imported.split(".")[0])
        assert owners is None or name.startswith(owners), f"{name} imports {imported}"


def test_what_is_imported_is_declared() -> None:
    """A package that came with another one may go with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for extra, lines in project["optional-dependencies"].items() if extra not in ("dev", "docs")]
    lines = [*project["dependencies"], *itertools.chain(*extras)]
    declared = {line.partition(">=")[0].removesuffix("-python").replace("-", "_") for line in lines}
    imported = {name.partition(".")[0] for file in _modules().values() for name in _imports(file)}
    assert imported - sys.stdlib_module_names - {"isobench"} <= declared


def test_the_package_has_one_name() -> None:
    """Nobody imports it by its folder's names, which other projects have as well; not in a program in a string, either.

    Such an import works in a checkout, makes every class twice, and fails where isobench is installed.
    """
    files = [ROOT / "noxfile.py", *(file for top in SOURCES for file in (ROOT / top).rglob("*.py"))]
    wrong = re.compile(
        r"""(?:^|[;"'])\s*(?:from|import) (?:bench|scenarios)\b|-m\W+bench\b|["']bench\.\w""", re.MULTILINE
    )
    assert len(files) > 300
    found = [f"{file.relative_to(ROOT)}: {hit[0]}" for file in files for hit in wrong.finditer(file.read_text())]
    assert [one for one in found if "test_layers.py" not in one] == []


def _imported(*words: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "COMP_"))}
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", ["--help", "list", "list environments", "list scenarios", "list metrics"])
def test_nothing_slow_is_imported(words: str) -> None:
    """Beside what Python has at its start, in this environment."""
    imported = _imported(*words.split()) - _imported()
    assert {name.partition(".")[0] for name in imported} & SLOW == set()
    assert {name for name in imported if name.startswith(tuple(f"isobench.{room}" for room in ROOMS))} == set()


@pytest.mark.parametrize(
    ("what", "also"), [("environments", {"_mechanism", "_runtime", "_storage"}), ("scenarios", {"_aggressors", "_fio"})]
)
def test_a_list_does_not_import_what_runs_an_instance(what: str, also: set[str]) -> None:
    """Of environments and scenarios what they are; how they are run is in modules of their own."""
    names = {name for name in _imported("list", what) if name.startswith(f"isobench.{what}.")}
    assert len(names) > 15
    assert {name.rpartition(".")[2] for name in names if "._" in name} == also


def test_an_import_inside_a_function_saves_something() -> None:
    """Every start of isobench would pay for it, or it is one of few with another reason."""
    start = set().union(*(_imported("list", what) for what in ("environments", "scenarios", "metrics")))
    ours = start - _imported()  # some Pythons have more at their start: a file of site-packages may import something
    late = {name: set(_imports(file, late=True)) for name, file in _modules().items()}
    assert {name: found & ours for name, found in late.items() if found & ours and name not in LATE} == {}
    others = {name: tuple(sorted(found)) for name, found in late.items() if found and name not in start}
    assert others == LATE


def test_what_can_be_listed_is_said_without_the_lists() -> None:
    """`isobench list` and the help do not become slower with each environment and scenario."""
    for words in ([], ["list"], ["--help"]):
        loaded = _imported(*words)
        assert not {name for name in loaded if name.startswith(("isobench.environments.", "isobench.scenarios."))}


@pytest.mark.parametrize("command", ["run", "nightly"])
def test_the_analysis_is_not_in_memory_while_a_run_is_measured(command: str, tmp_path: Path) -> None:
    """numpy and what needs it is imported after the last block: the harness is as small as it can be until then."""
    words = [command, "-e", "process", "-s", "startup", "--out", str(tmp_path / "results"), "--seed", "1"]
    folder = ["--folder", str(tmp_path / "night")] if command == "nightly" else []
    begin = [sys.executable, "-c", MEASURING, *words, *folder]
    done = subprocess.run(begin, capture_output=True, text=True, timeout=60, check=False)
    assert {"isobench.cells.runner"} == set(done.stdout.split()[-1:]), done.stderr
    assert set(done.stdout.split()) & {"matplotlib", "numpy", "pandas", "pyperf", "scipy"} == set()


@pytest.mark.parametrize("module", ["isobench.api", "isobench.report.context", "isobench.contracts.answers"])
def test_what_plugins_import_is_small(module: str) -> None:
    """Every command imports every plug-in, and these are what the skeleton of one imports."""
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) & {"matplotlib", "numpy", "pandas", "pyperf", "scipy"} == set()
