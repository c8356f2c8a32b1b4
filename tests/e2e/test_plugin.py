"""The tutorials for plug-ins: the package that `plugin new` writes, checked, typed, installed, measured, shown."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from isobench.commands.plugin import _summary
from isobench.results import store
from isobench.run.trial import _count_all
from tests.documents import ROOT, commands

PAGE = ROOT / "docs/plugins.md"
SKELETON = ROOT / "bench/skeleton"


def _isobench(python: Path | str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [str(python), "-m", "isobench", *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is written."""
    folder = tmp_path_factory.mktemp("plugin")
    done = _isobench(sys.executable, folder, "plugin", "new", "niced")
    assert done.returncode == 0, done.stderr
    return folder / "isobench-niced"


@pytest.fixture(scope="module")
def python(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh virtual environment that holds the package; the libraries are those of this one."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=600)
    fresh = folder / "venv/bin/python"
    asked = [str(fresh), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip())
    (site / "beneath.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    words = [str(fresh), "-m", "pip", "install", "--quiet", "--no-deps", str(written)]
    subprocess.run(words, check=True, timeout=300, capture_output=True)
    return fresh


def test_what_is_written_keeps_every_promise(written: Path) -> None:
    """Of all four kinds; none is skipped but what this host lacks."""
    done = _isobench(sys.executable, written, "plugin", "check", "isobench_niced", "--json")
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 0 and {f["outcome"] for f in findings} == {"PASS"}, findings
    assert {f["plugin"] for f in findings} == {"isobench_niced", "niced", "niced-end"}


BREAKS = {
    "layer": ("environment", ': Layer = "process"', ' = "cloud"', "its `layer` is 'cloud'"),
    "facts": ("environment", "def facts(self)", "def about(self)", "has no attribute 'facts'"),
    "large": ("environment", "import shutil\n", "import shutil\nimport pandas\n", "numpy, pandas: do so inside"),
    "launch": ("environment", "*launch.arguments]", '"fork", "1"]', "`probe syscall getppid` answered 1 times"),
    "value": ("scenario", "/ 1e9}", "/ -1e9}", "exit cannot be -"),
    "metric": ("scenario", '{"exit": (', '{"end": (', "it gave 'end', which is none of its metrics"),
    "syntax": ("section", "    return [\n        Paragraph", "    return (\n        Paragraph", "SyntaxError"),
    "blocks": ("section", "build=build)", 'build=lambda context: "text")', "it gives str, not a list of blocks"),
    "bytes": ("export", ".encode()", "", "not the bytes of a file"),
    "raises": ("environment", "  return []", '  raise OSError("no\\nroom")', "OSError: no; room (environment.py, line"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_promise_is_named(written: Path, tmp_path: Path, what: str) -> None:
    """One change to what was written: the check fails, and says which promise and why."""
    module, old, new, said = BREAKS[what]
    package = tmp_path / "isobench_niced"
    package.mkdir()
    for file in (written / "isobench_niced").glob("*.py"):
        (package / file.name).write_text(file.read_text())
    text = (package / f"{module}.py").read_text()
    assert text.count(old) >= 1
    (package / f"{module}.py").write_text(text.replace(old, new))
    done = _isobench(sys.executable, tmp_path, "plugin", "check", "isobench_niced", "--json")
    failed = [f for f in json.loads(done.stdout)["findings"] if f["outcome"] == "FAIL"]
    assert done.returncode == 1 and any(said in f["reason"] for f in failed), failed


def test_it_is_typed_by_the_public_module_alone(written: Path, tmp_path: Path) -> None:
    """`mypy --strict`, against isobench as it would be installed; nothing but `isobench.api` is imported of it."""
    imported = {
        node.module
        for file in (written / "isobench_niced").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("isobench.")
    }
    assert imported == {"isobench.api"}
    words = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", "isobench_niced"]
    environ = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(words, cwd=written, env=environ, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout
    wrong = written.parent / "wrong"
    wrong.mkdir()
    text = (written / "isobench_niced/environment.py").read_text()
    (wrong / "environment.py").write_text(
        text.replace("def daemons(self) -> list[int]", "def demons(self) -> list[int]")
    )
    words[-1] = "environment.py"
    done = subprocess.run(words, cwd=wrong, env=environ, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 1 and 'variable has type "tuple[Environment, ...]"' in done.stdout, done.stdout


def test_the_page_is_about_this_package() -> None:
    """Every module of it is on the page, and its words about ends of names are those of the package."""
    page = PAGE.read_text(encoding="utf-8")
    files = [*SKELETON.glob("*.toml"), *SKELETON.glob("isobench_example/[!_]*.py")]
    assert len(files) == 5
    assert all(f'--8<-- "{file.relative_to(ROOT)}"' in page for file in files)


def test_the_tutorials_work(python: Path, written: Path, tmp_path: Path) -> None:
    """Every command of the page in its order; each of the four plug-ins shows in what the commands leave."""
    shown = [one for one in commands(PAGE) if len(one.words) > 1 and one.words[0] != "provision"]
    order = [one.words[0] for one in shown if one.words[:2] != ["plugin", "new"]]
    assert order == ["plugin", "list", "doctor", "run", "list", "run", "report", "export"]
    said = ""
    for one in shown:
        if one.words[0] in ("report", "export"):  # on a busy host every block may be marked, and both be without costs
            _count_all(list(store.find_runs(tmp_path / "results"))[-1] / "session.json")
        done = _isobench(python, tmp_path, *one.words)
        assert done.returncode in (0, 5), f"{one.words}: {done.stderr}"
        said += done.stdout
    assert "PASS  niced" in said and "niced-end.exit" in said
    newest = list(store.find_runs(tmp_path / "results"))[-1]
    assert {(one.scenario, one.environment) for one in store.load(newest).series} == {
        ("niced-end", name) for name in ("process", "process@control", "chroot", "niced")
    }
    (page,) = tmp_path.glob(f"reports/*/{newest.name}/index.html")
    assert 'id="niced"' in page.read_text() and "The exit of a program" in page.read_text()
    lines = (tmp_path / "costs.tsv").read_text().splitlines()
    assert lines[0].startswith("# ") and {line.split("\t")[1] for line in lines[1:]} == {"process", "chroot", "niced"}


def test_the_example_takes_part_in_every_default_scenario(python: Path, tmp_path: Path) -> None:
    """That needs what it can do, without a failed cell."""
    run = _isobench(python, tmp_path, "run", "-e", "niced", "--blocks", "1", "--no-report", "--json")
    assert run.returncode in (0, 5), run.stderr
    loaded = store.load(next(iter(store.find_runs(tmp_path / "results"))))
    assert [failure.reason for failure in loaded.session.failures] == []
    assert {one.scenario for one in loaded.series if one.environment == "niced"} == {"startup", "memory", "syscall"}
    facts = next(e.facts for e in loaded.session.environments if e.name == "niced")
    assert any(name.startswith("surface.") for name in facts)


@pytest.mark.parametrize("name", ["", "Niced", "../niced", "1st", "a b"])
def test_an_odd_name_writes_nothing(tmp_path: Path, name: str) -> None:
    """Nor does a folder that is there already."""
    done = _isobench(sys.executable, tmp_path, "plugin", "new", name)
    assert done.returncode == 2 and list(tmp_path.iterdir()) == [] and re.search("no name|required", done.stderr)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "isobench-niced").mkdir()
    (tmp_path / "isobench-niced/mine").touch()
    done = _isobench(sys.executable, tmp_path, "plugin", "new", "niced")
    assert done.returncode == 2 and [f.name for f in tmp_path.rglob("*")] == ["isobench-niced", "mine"]


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    """A finding like others, with a remedy, and the exit code of a broken promise."""
    done = _isobench(sys.executable, tmp_path, "plugin", "check", "nowhere")
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and lines[0] == "FAIL  nowhere: it can be imported"
    assert "No module named 'nowhere' (install it" in lines[1] and lines[2] == "1 of 1 promise broken"


def test_what_has_no_name_is_called_by_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "five.py").write_text("import nosuch\n")
    done = _isobench(sys.executable, tmp_path, "plugin", "check", "five")
    assert "No module named 'nosuch' (five.py, line 1)\n" in done.stdout
    (tmp_path / "five.py").write_text("ENVIRONMENTS = 5\n")
    done = _isobench(sys.executable, tmp_path, "plugin", "check", "five")
    assert done.returncode == 1 and "FAIL  ENVIRONMENTS: it has what makes it an environment\n" in done.stdout


@pytest.mark.parametrize("name", ["", "isobench_niced/environment.py", "../niced", "a..b"])
def test_a_file_is_no_import_name(tmp_path: Path, name: str) -> None:
    done = _isobench(sys.executable, tmp_path, "plugin", "check", name)
    assert done.returncode == 2 and "no import name" in done.stderr and done.stdout == ""


def test_what_was_not_tested_is_not_called_kept() -> None:
    assert _summary(["PASS", "PASS"]) == "2 promises kept"
    assert _summary(["PASS", "SKIP"]) == "1 promise kept, 1 not tested on this host"
    assert _summary(["PASS", "FAIL", "SKIP"]) == "1 of 3 promises broken, 1 not tested on this host"
