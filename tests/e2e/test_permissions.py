"""Nobody is let in: no file that everybody may write, private sockets, and a dry run that changes nothing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench.daemons.private import daemon_state
from isobench.filesystem.paths import cache_dir
from isobench.guests.kernel import guest_kernel
from isobench.results import store
from tests.e2e.test_commands import ROOT


def _open_to_all(folder: Path) -> set[str]:
    """Files, sockets and folders that everybody may write; a folder where only owners remove (/tmp) is none."""
    found = set()
    paths = (Path(root, name) for root, folders, files in os.walk(folder) for name in (*folders, *files))
    for path in paths:  # by os.walk, which passes over a folder that is gone by now
        try:
            mode = path.lstat().st_mode
        except OSError:
            continue  # gone by now
        sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX
        if mode & stat.S_IWOTH and not stat.S_ISLNK(mode) and not stat.S_ISCHR(mode) and not sticky:
            found.add(f"{path} {stat.filemode(mode)}")
    return found


@pytest.mark.root
@pytest.mark.libvirt
@pytest.mark.docker
def test_nothing_is_open_to_all(tmp_path: Path) -> None:
    """Not even for a user without any umask: looked at all the time while a run goes on, and when it has ended."""
    folders = {f"ISOBENCH_{name.upper()}": str(tmp_path / name) for name in ("state", "work", "cache")}
    kernel = guest_kernel()
    if cache_dir() in kernel.image.parents:
        shutil.copytree(kernel.image.parents[1], tmp_path / "cache/kernel-copy", symlinks=True)
    words = ("run", "-e", "process,handmade,docker,tcg", "-s", "startup,io", "--blocks", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "verification.undisturbed", *words],
        cwd=tmp_path,
        env={**os.environ, **folders, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        umask=0,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    found: set[str] = set()
    while process.poll() is None:
        found |= _open_to_all(tmp_path)
        time.sleep(0.05)
    assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    assert not found | _open_to_all(tmp_path)
    session = store.load(next(store.find_runs(tmp_path / "results"))).session
    assert {one.name for one in session.environments} >= {"handmade", "docker", "tcg"}
    assert not [skip for skip in session.skips if not skip.scenario]  # of a job of fio: a busy disk
    assert {p.name for p in (tmp_path / "results").glob("*/*/*")} == {"suite.json", "session.json"}


@pytest.mark.docker
def test_the_engines_socket_is_private() -> None:
    """Where isobench started the engine: nobody else may use its socket, nor reach the folder it is in."""
    path = Path(os.environ.get("DOCKER_HOST", "").removeprefix("unix://"))
    if not path.is_relative_to(daemon_state()):
        pytest.skip("the engine here is not one that isobench started")
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
