"""containerd without Docker: what a dead run left in it is swept, and a sweep that cannot be done is no clean one."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from isobench.contracts.launch import idle
from isobench.core.errors import Unavailable
from isobench.environments.docker._daemons import containerd_address
from isobench.environments.runtimes._ctr import _own_folders, sweep
from isobench.filesystem.paths import RUN_PREFIX
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.processes.accounting import pids_with
from tests.busy import soon

pytestmark = [pytest.mark.docker, pytest.mark.tool("ctr")]


def test_a_dead_runs_container_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all its folders; while nobody answers there, the run is not done with."""
    run, where = f"{RUN_PREFIX}{new_run_id()}", containerd_address()
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
    workdir = tmp_path / run / "containerd"
    workdir.mkdir(parents=True)
    with catalog.environments()["containerd"].open(workdir) as sandbox, sandbox.launch(idle()) as instance:
        instance.stdout.readline()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("isobench.environments.runtimes._ctr.containerd_address", lambda: f"{tmp_path}/none")
            with pytest.raises(Unavailable, match=r"no containerd answers at .*/none"):
                sweep(run)
            assert sweep(f"{run}0") == []
        assert sweep(run)[:1] == [f"container {run}-containerd-1"] and sweep(run) == []
        monkeypatch.undo()
    assert soon(lambda: pids_with(f"{run}-containerd-") == [])  # a shim ends after it has answered
    listed = subprocess.run(
        ["ctr", f"--address={where}", "namespaces", "list", "--quiet"], capture_output=True, check=True
    )
    assert run.encode() not in listed.stdout
    assert [path for place in _own_folders(where) for path in place.rglob(f"{run}*")] == []
    assert list(Path("/run/containerd").rglob(f"{run}*")) == []


def test_a_run_that_never_used_it_is_none_of_its_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no containerd, nothing is made and nothing is to be swept."""
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
    monkeypatch.setattr("isobench.environments.runtimes._ctr.containerd_address", lambda: f"{tmp_path}/none")
    run = f"{RUN_PREFIX}{new_run_id()}"
    workdir = tmp_path / run / "containerd"
    workdir.mkdir(parents=True)
    with pytest.raises(Unavailable), catalog.environments()["containerd"].open(workdir):
        pass
    workdir.rmdir()  # as whoever opens an environment that cannot be had does; it is empty
    assert sweep(run) == []


def test_a_killed_shim_leaves_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """containerd forgets it, and it would stay in /run for ever."""
    run = f"{RUN_PREFIX}{new_run_id()}"
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
    workdir = tmp_path / run / "containerd"
    workdir.mkdir(parents=True)
    with catalog.environments()["containerd"].open(workdir) as sandbox, sandbox.launch(idle()):
        (shim,) = pids_with(f"{run}-containerd-1", "containerd-shim", "-address")
        sockets = listening(shim)
        assert sockets and all(path.is_socket() for path in sockets)
        os.kill(shim, signal.SIGKILL)
    assert not any(path.exists() for path in sockets) and sweep(run) == []


def listening(pid: int) -> list[Path]:
    """The named sockets that a process has (proc(5), net/unix)."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # it has been closed
            own.add(str(link.readlink()))
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return sorted({Path(row[7]) for row in rows if len(row) == 8 and f"socket:[{row[6]}]" in own and row[7][0] == "/"})
