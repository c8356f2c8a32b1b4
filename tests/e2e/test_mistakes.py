"""A folder that is a file, may not be entered or is no place for results: one line, exit code 2, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.report.made import write_run

WITHOUT_POWERS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
"""Root that file permissions hold for."""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on disk."""
    return write_run(tmp_path_factory.mktemp("results"))


def complaint(*words: str, before: tuple[str, ...] = ()) -> str:
    """What the command says of a mistake: one line on standard error, exit code 2."""
    command = [*before, sys.executable, "-m", "isobench", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "internal error" not in done.stderr
    return done.stderr


MEASURE = ("run", "-e", "process", "-s", "startup", "--blocks", "1", "-q")


@pytest.mark.parametrize("target", ["/", "/proc/none/x", "{file}/below", "x" * 300, "{folder}"])
def test_export_says_that_it_cannot_write_there(run_folder: Path, tmp_path: Path, target: str) -> None:
    """Whatever is wrong with the file named by --out is said with its name."""
    file = tmp_path / "file"
    file.touch()
    said = complaint("export", str(run_folder), "--to", "csv", "--out", target.format(file=file, folder=tmp_path))
    assert target.partition("}")[0].strip("{")[:20] in said or str(tmp_path) in said


@pytest.mark.parametrize("option", ["--out", "--reports"])
@pytest.mark.parametrize("target", ["{file}", "{file}/below", "/proc/none"])
def test_run_looks_before_it_measures(tmp_path: Path, option: str, target: str) -> None:
    """Neither results nor a report that cannot be kept are found out after the blocks."""
    file = tmp_path / "file"
    file.touch()
    assert "cannot write" in complaint(*MEASURE, option, target.format(file=file))
    assert not list(tmp_path.glob("*/*"))


def test_report_says_that_it_cannot_write_there(run_folder: Path, tmp_path: Path) -> None:
    """A report's folder that is a file."""
    file = tmp_path / "file"
    file.touch()
    assert str(file) in complaint("report", str(run_folder), "--out", str(file))


@pytest.mark.parametrize("words", [("report",), ("compare", "{run}"), ("export", "--to", "csv"), ("trend",), ("site",)])
def test_a_run_that_is_a_file_is_told(run_folder: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A file where a folder was to be."""
    file = tmp_path / "file"
    file.touch()
    assert str(file) in complaint(words[0], str(file), *(word.format(run=run_folder) for word in words[1:]))


@pytest.mark.root
def test_folders_that_may_not_be_entered_are_told(run_folder: Path, tmp_path: Path) -> None:
    """Below somebody else's folder of mode 0700 nothing can be looked at: that is said, with the name."""
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    os.chown(secret, 65534, 65534)
    for words in (
        ("report", str(run_folder), "--out", f"{secret}/x"),
        ("report", f"{secret}/x"),
        ("compare", f"{secret}/x", str(run_folder)),
        ("export", f"{secret}/x", "--to", "csv"),
        ("export", str(run_folder), "--to", "csv", "--out", f"{secret}/x"),
        ("trend", f"{secret}/x"),
        ("site", f"{secret}/x"),
        ("site", str(run_folder.parent), "--out", f"{secret}/x"),
        (*MEASURE, "--out", f"{secret}/x/y"),
    ):
        assert str(secret) in complaint(*words, before=WITHOUT_POWERS)


def test_no_time_for_doctor_is_a_mistake() -> None:
    """A timeout of nothing is no timeout."""
    assert "0" in complaint("doctor", "-e", "process", "--timeout", "0")
