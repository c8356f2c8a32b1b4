"""Sessions: bench (the entry point), report, example, nightly, tests, coverage, lint, typing, docs, floor, crosscheck,
validity, faults, hosts, collection, lowest, wheels, lock, audit.

    nox -s bench -- [--provision] [options of `isobench run`]
    nox -s tests -- [--provision] [options of pytest]

With `--provision` what is missing is installed first (Debian, Ubuntu; as root), and where no init system runs,
private Docker and libvirt daemons are started for the time of the session. Without it nothing is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["lint", "typing", "tests"]
nox.options.reuse_existing_virtualenvs = True

SOURCES = ("bench", "scenarios", "verification", "tests", "noxfile.py")
LOCK = Path(".ci/lock.txt")
"""Every version that CI installs; `nox -s lock` writes it."""
COVERED = {
    "analysis": ("estimation", "analysis", "nights"),
    "results": ("results",),
    "lifecycle": ("lifecycle",),
}
"""What must not be wrong, each with its rooms of `bench/`: the numbers, what is kept of them, what is left behind."""
FEWEST_LINES = 95
"""Percent of each that their unit tests reach."""
TWO_PROCESSES = ("-p", "tests.apart", "--numprocesses=2")
WITH_DAEMONS = ("python", "-m", "isobench.daemons")


def prepare(session: nox.Session, *extras: str) -> list[str]:
    """Provision if asked to, install isobench with what this host can build; gives the remaining arguments."""
    words = [word for word in session.posargs if word != "--provision"]
    if len(words) < len(session.posargs):
        more = ["--for-tests"] if "dev" in extras else []
        provision = ("python", "-m", "isobench", "provision", *more)
        session.run_install(*provision, success_codes=[0, 1])  # 1: not all could be had
    install(session, *extras)
    return words


def install(session: nox.Session, *extras: str) -> None:
    """Install the project with its extras, unless this environment has exactly that already."""
    extras = (*extras, "docker", *(["libvirt"] if _has_libvirt_headers() else []))
    pins = ["--constraint", str(LOCK)] if os.environ.get("CI") else []
    wanted = hashlib.sha256(Path("pyproject.toml").read_bytes() + repr((extras, pins)).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "isobench-installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    session.install("--quiet", *pins, "-e", f".[{','.join(extras)}]")
    stamp.write_text(wanted)


def with_daemons(session: nox.Session) -> tuple[str, ...]:
    """The words before a command that give it private daemons, where provisioning was asked for."""
    return WITH_DAEMONS if "--provision" in session.posargs else ()


@nox.session
def bench(session: nox.Session) -> None:
    """Measure and write the report: `isobench run`."""
    words = prepare(session)
    session.run(*with_daemons(session), "python", "-m", "isobench", "run", *words)


@nox.session
def report(session: nox.Session) -> None:
    """Write the report of a run again: `isobench report`."""
    session.run("python", "-m", "isobench", "report", *prepare(session))


@nox.session
def example(session: nox.Session) -> None:
    """Replace reports/example/ and the README's figures by those of a run: `nox -s example -- RUN or BUNDLE`."""
    session.run("python", "-m", "tests.example", *prepare(session, "dev"))


@nox.session
def nightly(session: nox.Session) -> None:
    """Doctor, run, trend, report and exports into one folder; fails where something changed: `isobench nightly`."""
    words = prepare(session, "parquet")
    session.run(*with_daemons(session), "python", "-m", "isobench", "nightly", *words)


@nox.session
def validity(session: nox.Session) -> None:
    """The promises, simulated and live; writes VALIDITY.md."""
    words = prepare(session)
    session.run(*with_daemons(session), "python", "-m", "verification.validity", *words)


@nox.session
def faults(session: nox.Session) -> None:
    """Every fault that must be survived, injected for real (as root, for 45 minutes); writes RELIABILITY.md."""
    session.run("python", "-m", "verification.faults", *prepare(session, "dev"))


@nox.session
def hosts(session: nox.Session) -> None:
    """Whole hosts, booted on an emulated CPU with KVM of its own (as root, hours); writes HOSTS.md.

    The short form, some twenty minutes on an idle machine: `nox -s hosts -- debian-13 --only "Docker and KVM"`.
    """
    session.run("python", "-m", "verification.hosts", *prepare(session))


@nox.session
def collection(session: nox.Session) -> None:
    """The Ansible collection by ansible-lint's strictest profile."""
    session.install("--quiet", "ansible-lint")
    session.env["ANSIBLE_COLLECTIONS_PATH"] = str(Path("contrib/ansible").resolve())
    with session.chdir("contrib/ansible/ansible_collections/isobench/fleet"):
        session.run("ansible-lint")


@nox.session
def lowest(session: nox.Session) -> None:
    """The unit tests with the lowest versions that pyproject.toml allows of what it names."""
    session.install("--quiet", "uv")
    extras = "docker,fleet,parquet,dev" + (",libvirt" if _has_libvirt_headers() else "")
    words = ("uv", "pip", "install", "--quiet", "--resolution", "lowest-direct", "-e", f".[{extras}]")
    session.run(*words, env={"VIRTUAL_ENV": session.virtualenv.location})
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/unit"]))


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def wheels(session: nox.Session) -> None:
    """The archives as an index gets them, installed beside a package with a `bench` of its own, on each Python here."""
    session.install("--quiet", "build", "twine", "frappe-bench")
    made, elsewhere = Path(session.create_tmp(), "dist"), Path(session.create_tmp(), "elsewhere")
    for folder in (made, elsewhere):
        shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(made), silent=True)
    session.run("twine", "check", "--strict", *map(str, made.iterdir()))
    (wheel,) = map(str, made.glob("*.whl"))
    session.install("--quiet", f"{wheel}[docker]")
    session.install("--quiet", "--force-reinstall", "--no-deps", wheel)  # one of the same version may be there
    elsewhere.mkdir()
    with session.chdir(elsewhere):
        session.run("bench", "--version")
        session.run("isobench", "list", "environments", silent=True)
        session.run("isobench", "plugin", "new", "tried")
    with session.chdir(elsewhere / "isobench-tried"):
        session.run("isobench", "plugin", "check", "isobench_tried")


@nox.session(reuse_venv=False)
def lock(session: nox.Session) -> None:
    """Write the lock file for CI: what pip chooses today for what the tests and the documentation want."""
    extras = "docker,fleet,parquet,dev,docs" + (",libvirt" if _has_libvirt_headers() else "")
    session.install("--quiet", "-e", f".[{extras}]")
    LOCK.write_text(str(session.run("python", "-m", "pip", "freeze", "--exclude-editable", silent=True)))


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what is installed; fails where the database cannot be reached, and says so."""
    install(session)
    session.install("--quiet", "pip-audit")
    frozen = Path(session.create_tmp()) / "installed.txt"
    frozen.write_text(str(session.run("pip", "freeze", "--exclude-editable", silent=True)))
    session.run("pip-audit", "--strict", "--no-deps", "--disable-pip", f"--requirement={frozen}", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests that this host can run; in CI one that it could run and skips is a failure.

    Two processes: one runs what changes this host, the other everything else meanwhile. With `-n 0` there is one.
    """
    words = prepare(session, "dev", "fleet", "parquet")
    session.run(*with_daemons(session), "python", "-m", "pytest", *TWO_PROCESSES, *words)


@nox.session
def coverage(session: nox.Session) -> None:
    """Which lines of analysis, results and lifecycle their unit tests reach; fails under 95 % of any of the three.

    As root: the tests of what only root may do are skipped otherwise.
    """
    words = prepare(session, "dev")
    rooms = [room for rooms in COVERED.values() for room in rooms]
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp(), "coverage").absolute())
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *words, *(f"tests/unit/{room}" for room in rooms))
    for part, names in COVERED.items():
        session.log(part)
        include = ",".join(f"bench/{name}/*" for name in names)
        session.run("coverage", "report", "--show-missing", f"--fail-under={FEWEST_LINES}", f"--include={include}")


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: rules and format."""
    session.install("--quiet", "ruff>=0.4")
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session
def typing(session: nox.Session) -> None:
    """mypy, strict."""
    prepare(session, "dev", "fleet", "parquet")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site and the man page, into site/; fails where a link is dead."""
    prepare(session, "docs")
    session.run("zensical", "build", "--clean", "--strict")
    manual = ["--module", "isobench.cli", "--function", "whole_parser"]
    manual += ["--prog", "isobench", "--project-name", "isobench"]
    manual += ["--description", "what does isolation cost?", "--manual-title", "isobench"]
    session.run("argparse-manpage", *manual, "--output", "site/isobench.1", env={"COLUMNS": "70"})  # as wide as man's


@nox.session
def floor(session: nox.Session) -> None:
    """The native rungs against a bare C loop, interleaved."""
    session.run("python", "-m", "verification.crosscheck.floor", *prepare(session))


@nox.session
def crosscheck(session: nox.Session) -> None:
    """The same quantities measured another way, interleaved."""
    session.run(*with_daemons(session), "python", "-m", "verification.crosscheck", *prepare(session))


def _has_libvirt_headers() -> bool:
    if shutil.which("pkg-config") is None:
        return False
    return subprocess.run(["pkg-config", "--exists", "libvirt"], check=False).returncode == 0
