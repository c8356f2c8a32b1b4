"""The commands as a user types them: exit codes, one clear line, nothing heavy to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.results import store
from tests.unit.test_json import obeys

ROOT = Path(__file__).parents[2]


def isobench(*words: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m isobench` in a folder, as on a host that nothing disturbs."""
    return subprocess.run(
        [sys.executable, "-m", "verification.undisturbed", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_run_from_end_to_end(tmp_path: Path) -> None:
    """One command measures, prints verdicts and leaves the files that DESIGN names; pyperf reads them."""
    words = ("run", "-e", "process", "-s", "startup,memory", "--blocks", "6", "--seed", "7")
    done = isobench(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "startup.ready" in done.stdout
    assert "report.md" in done.stdout
    path = next(store.find_runs(tmp_path / "results"))
    assert {f.name for f in path.iterdir()} == {"suite.json", "session.json"}
    report = tmp_path / "reports" / path.parent.name / path.name
    assert {f.name for f in report.iterdir()} == {"index.html", "report.md", "report_files"}
    run = store.load(path)
    assert run.session.seed == 7 and run.session.stopped == "blocks"
    assert {s.environment for s in run.series} == {"process", "process@control"}
    stats = [sys.executable, "-m", "pyperf", "stats", str(path / "suite.json")]
    assert subprocess.run(stats, capture_output=True, check=False).returncode == 0
    again = isobench("report", str(path), "--out", str(tmp_path / "again"), folder=tmp_path)
    assert again.returncode == 0
    assert (tmp_path / "again" / "report.md").read_text() == (report / "report.md").read_text()


def test_json_is_data(tmp_path: Path) -> None:
    """With --json standard output is one JSON document; progress is on standard error."""
    done = isobench("run", "-e", "process", "-s", "startup", "--blocks", "1", "--json", "--no-report", folder=tmp_path)
    document = json.loads(done.stdout)
    obeys(document, "run")
    assert "error" not in document
    assert (tmp_path / document["run"] / "suite.json").is_file()
    assert "block 1 of 1" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "-e", "dokcer"), 2, "did you mean 'docker'"),
        (("run", "-s", "startpu"), 2, "did you mean 'startup'"),
        (("run", "-e", "process", "--out", "/proc/nowhere"), 2, "cannot write results"),
        (("run", "-e", "process", "--blocks", "0"), 2, "--blocks"),
        (("run", "-e", "process", "--max-time", "soon"), 2, "not a duration"),
        (("run", "-e", "process", "--require", "docker"), 2, "not among the chosen"),
        (("report", "nowhere"), 2, "no folder and no run under results/"),
        (("report", "./nowhere"), 2, "nowhere/session.json"),
        (("report",), 2, "no run under"),
        (("frobnicate",), 2, "no command is called 'frobnicate'"),
        (("rnu",), 2, "did you mean 'run'"),
        (("help", "rnu"), 2, "did you mean 'run'"),
    ],
)
def test_wrong_usage(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """One clear line that names what was wrong, exit code 2, nothing written."""
    done = isobench(*words, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_helps(tmp_path: Path) -> None:
    """Bare `isobench` and `help` are the help, `help run` that of one command, bare `list` says what can be listed."""
    bare = isobench(folder=tmp_path)
    assert bare.returncode == 0 and bare.stdout.startswith("usage: isobench") and "doctor" in bare.stdout
    assert isobench("help", "help", folder=tmp_path).stdout == bare.stdout
    assert isobench("help", folder=tmp_path).stdout == bare.stdout == isobench("--help", folder=tmp_path).stdout
    assert isobench("help", "run", folder=tmp_path).stdout == isobench("run", "--help", folder=tmp_path).stdout
    listed = isobench("list", folder=tmp_path)
    assert listed.returncode == 0 and "isobench list scenarios" in listed.stdout and "ladder" in listed.stdout


def test_another_schema(tmp_path: Path) -> None:
    """A run of a schema this version does not know is refused by name."""
    (tmp_path / "session.json").write_text('{"schema": 99}')
    done = isobench("report", str(tmp_path), folder=tmp_path)
    assert done.returncode == 2 and "schema 99" in done.stderr


def test_a_required_environment_that_is_missing(tmp_path: Path) -> None:
    """Exit code 4, with the reason."""
    words = ("run", "-e", "docker", "-s", "startup", "--blocks", "1", "--require", "docker")
    done = isobench(*words, folder=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 4
    assert "docker is required but unavailable" in done.stderr
    state = {"ISOBENCH_STATE": str(tmp_path / "state"), "ISOBENCH_WORK": str(tmp_path)}
    for command in (words, ("doctor", "-e", "docker")):
        isobench(*command, folder=tmp_path, DOCKER_HOST="unix:///nowhere.sock", **state)
        assert isobench("clean", folder=tmp_path, **state).stdout == "nothing to clean\n"


def test_help_imports_nothing_heavy() -> None:
    """`isobench --help` starts without pandas, matplotlib, docker, libvirt and what else is slow to import."""
    program = (
        "import sys; from isobench.cli import main; main(['--help']);"
        "heavy = {'pandas', 'matplotlib', 'docker', 'libvirt', 'scipy', 'numpy', 'rich', 'msgspec'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "name", "codes"),
    [
        (("doctor", "-e", "process,docker"), "doctor", (0,)),
        (("provision", "--dry-run"), "provision", (0, 1)),
        (("run", "-e", "docker", "--baseline", "docker", "--no-report"), "run", (5,)),
    ],
)
def test_what_is_printed_obeys_its_schema(
    tmp_path: Path, words: tuple[str, ...], name: str, codes: tuple[int, ...]
) -> None:
    """Also where nothing could be measured: the document then says why, with the exit code."""
    done = isobench(*words, "--json", folder=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    document = json.loads(done.stdout)
    obeys(document, name)
    assert done.returncode in codes and document.get("exit_code", done.returncode) == done.returncode


def test_lists_are_data_too(tmp_path: Path) -> None:
    """Every environment, scenario and metric is explained, for people and for programs."""
    for what in ("environments", "scenarios", "metrics"):
        rows = json.loads(isobench("list", what, "--json", folder=tmp_path).stdout)[what]
        assert rows and all(row["name"] for row in rows)
        text = isobench("list", what, folder=tmp_path).stdout
        assert all(row["name"] in text for row in rows)


def test_a_dry_run_measures_nothing(tmp_path: Path) -> None:
    """It prints the plan and how long it takes."""
    done = isobench("run", "--dry-run", folder=tmp_path)
    assert done.returncode == 0 and "about" in done.stdout and "min" in done.stdout
    assert list(tmp_path.iterdir()) == []
