"""Every command of the documentation, run in one folder of runs; what would measure prints its plan instead.

The commands of the tutorial for plug-ins are run in full by test_plugin.py, the README's by test_readme.py.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from isobench import cli
from isobench.results import store
from tests.documents import PAGES, ROOT, Shown, commands

RUNS = ("A", "B", "A1", "A2", "A3", "B1", "B2", "B3", *(f"results/HOST/{name}" for name in ("TIME", "BEFORE", "AFTER",
        "BASE")), "RUN")  # fmt: skip
"""What the pages call a run's folder."""
MEASURES = ("run", "nightly", "provision", "clean")
"""Commands that are run with --dry-run."""
LACKING = {"doctor": (4,), "fleet": (2,), "plugin": (1, 2), "provision": (1, 2), "runs": (2,)}
"""Exit codes that say that this host has not got what was required, or cannot get it; or that nobody can be asked."""
SHOWN = [shown for page in PAGES if page.name != "plugins.md" for shown in commands(page)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every run that the pages name is there: the committed example; the newest was interrupted. So
    are a program, the tutorial's workload and an inventory."""
    made = tmp_path_factory.mktemp("documents")
    shutil.copy("/usr/bin/env", made / "program")
    shutil.copy(ROOT / "docs/ping.toml", made)
    here = f"ansible_connection: local, ansible_python_interpreter: {sys.executable}"
    (made / "inventory.yml").write_text(f"rack1: {{hosts: {{here: {{{here}}}}}}}\n")
    for name in RUNS:
        shutil.copytree(ROOT / "reports/example/run", made / name)
    for name in ("before", "after"):
        store.relabel(made / "results/HOST" / name.upper(), label=name, tags=[])
    record = made / "results/HOST/TIME/session.json"
    record.write_text(record.read_text().replace('"stopped": "blocks"', '"stopped": "interrupted"'))
    return made


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown.page}: {' '.join(shown.words)}")
def test_it_works(
    shown: Shown, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with 0, or with what says that this host has not got it, and it says something or writes its file."""
    words = list(shown.words)
    if words in (["export"], ["compare"], ["list"], ["prune"]):
        return  # a command's name in a sentence
    if words[0] in MEASURES and "--dry-run" not in words:
        words.insert(1, "--dry-run")  # before what is a program's own
    if words[:2] == ["fleet", "run"] and "--check" not in words:
        words.insert(2, "--check")
    if words[:2] == ["runs", "rm"]:
        folder = Path(shutil.copytree(folder, tmp_path / "copy"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it
    monkeypatch.setenv("ISOBENCH_DOCTOR_ENVIRONMENTS", "process,chroot")
    monkeypatch.setenv("ISOBENCH_DOCTOR_TIMEOUT", "10")  # a KVM that hangs is another test's
    for name, value in shown.environ.items():
        monkeypatch.setenv(name, value)
    code = cli.main(words)
    said = capsys.readouterr()
    assert code == 0 or code in LACKING.get(words[0], ()), said.err
    if words[0] == "export":
        assert (folder / words[words.index("--out") + 1]).stat().st_size > 0
    else:
        assert said.out or said.err
