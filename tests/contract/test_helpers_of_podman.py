"""Podman as a root without CAP_SYS_ADMIN starts a process that never ends: the run's own is ended, no other."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.core import deadlines
from isobench.filesystem.mounts import remove_tree
from isobench.processes.accounting import text_of
from isobench.processes.endings import kill_all

pytestmark = [pytest.mark.root, pytest.mark.tool("podman"), pytest.mark.tool("setpriv")]

CONFINED = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
DOCTOR = (*CONFINED, sys.executable, "-m", "isobench", "doctor", "-e", "podman")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """What a test starts has this working folder, by which its processes are found, whatever they are called. Its name
    is short, as Podman wants."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    kill_all(lambda pid: Path(f"/proc/{pid}/cwd").readlink() == folder)
    assert remove_tree(folder) == []


@pytest.fixture
def environ(place: Path) -> dict[str, str]:
    """A state and a work folder of its own, so that nothing but the test's is cleaned; and a user's folders."""
    folders = {f"ISOBENCH_{kind}": str(place / kind[0]) for kind in ("STATE", "WORK")}
    (place / "run").mkdir(mode=0o700)
    users = {"HOME": str(place), "XDG_RUNTIME_DIR": str(place / "run")}
    return {**os.environ, **folders, **users, "PYTHONPATH": str(ROOT)}


def noted(place: Path, *folders: str) -> list[int]:
    """The processes that Podman has noted there: in its --tmpdir, or by newer versions in XDG_RUNTIME_DIR."""
    files = [file for folder in folders for file in place.glob(f"{folder}/pause.pid")]
    return [int(text) for text in map(text_of, files) if text]


def living(place: Path) -> list[int]:
    """The processes that work in this folder and have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == place:
                found.append(int(entry.name))
        except OSError:  # it has ended, or is about to
            continue
    return found


def test_none_outlives_its_run_and_a_users_own_stays(place: Path, environ: dict[str, str]) -> None:
    """The user's own, of another storage, was there before and is there afterwards."""
    folders = {name: place / f"user/{name}" for name in ("root", "runroot", "tmpdir")}
    (place / "user").mkdir()
    options = [f"--{name}={folder}" for name, folder in folders.items()]
    subprocess.run([*CONFINED, "podman", *options, "info"], env=environ, cwd=place, check=True, capture_output=True)
    (users,) = noted(place, "user/tmpdir", "run/libpod/tmp")

    done = subprocess.run(DOCTOR, env=environ, cwd=place, capture_output=True, text=True, check=False)
    assert "PASS  podman" in done.stdout, done.stdout + done.stderr
    assert _soon(place, [users])


def test_one_of_a_run_that_was_killed_is_swept(place: Path, environ: dict[str, str]) -> None:
    """`clean` ends it, although nothing but its environment names the run."""
    with subprocess.Popen(DOCTOR, env=environ, cwd=place, stdout=subprocess.DEVNULL) as doctor:
        while not (paused := noted(place, "W/*/podman/tmp", "S/podman-*/libpod/tmp")):
            assert doctor.poll() is None, "it never started Podman"
            time.sleep(0.01)
        doctor.kill()
    (pid,) = paused
    assert pid in living(place)
    done = subprocess.run(
        [sys.executable, "-m", "isobench", "clean"], env=environ, cwd=place, capture_output=True, text=True, check=True
    )
    assert f"killed process {pid} of Podman" in done.stdout, done.stdout
    assert _soon(place, [])


def _soon(place: Path, wanted: list[int]) -> bool:
    """Whether these are soon the only ones: a process that was killed takes a moment."""
    deadline = time.monotonic() + deadlines.stretched(60)
    while living(place) != wanted:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {set(living(place)) - set(wanted)}; ended: {set(wanted) - set(living(place))}")
        time.sleep(0.05)
    return True


@pytest.mark.tool("unshare")
def test_the_systems_folders_are_not_used(place: Path, environ: dict[str, str]) -> None:
    """Copies of images that are not complete would stay in /var/tmp if Podman were killed."""
    confined = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro t /var/tmp && exec "$@"', "sh"]
    words = [*confined, sys.executable, "-m", "isobench", "doctor", "-e", "podman"]
    done = subprocess.run(words, env=environ, cwd=place, capture_output=True, text=True, check=False)
    assert "PASS  podman" in done.stdout, done.stdout + done.stderr
