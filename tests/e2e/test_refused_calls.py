"""System calls that an older kernel has not, or a container's filter forbids: each costs what needs it, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.results import store

ROOT = Path(__file__).parents[2]
RUNGS = "process,process-fork,chroot,pivot-root,ns-net,ns-time,ns-all,ns-all-user,ns-all+cgroup,handmade"


def under(number: str, calls: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """isobench where these calls end with this errno."""
    command = [
        sys.executable,
        "-m",
        "verification.faults.filtered",
        number,
        calls,
        sys.executable,
        "-m",
        "isobench",
        *words,
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)


def lost(number: str, calls: str, folder: Path, environments: str = RUNGS) -> dict[str, str]:
    """The environments that do not pass, and why."""
    done = under(number, calls, "doctor", "--json", "-e", environments, folder=folder)
    assert done.returncode == 0, done.stderr
    found = [f for f in json.loads(done.stdout)["findings"] if f["kind"] == "environment"]
    assert len(found) == len(environments.split(","))
    return {f["name"]: f["reason"] for f in found if f["outcome"] != "PASS"}


@pytest.mark.root
@pytest.mark.parametrize("number", ["ENOSYS", "EPERM"])
def test_without_clone3_only_the_time_namespace_is_lost(number: str, tmp_path: Path) -> None:
    """clone does the same for all others; the reason names the call."""
    found = lost(number, "clone3", tmp_path)
    assert list(found) == ["ns-time"]
    assert "clone3, which is refused here" in found["ns-time"]


@pytest.mark.root
@pytest.mark.parametrize(
    "calls",
    [
        "pidfd_open,pidfd_send_signal,close_range,openat2,statx,memfd_create,faccessat2,rseq,io_uring_setup",
        "mount_setattr,open_tree,move_mount,fsopen,fsconfig,fsmount,fspick",
        "unshare",
        "setns",
    ],
)
def test_newer_calls_are_not_needed(calls: str, tmp_path: Path) -> None:
    """Nor is the watch on network namespaces, for which a process has to leave its own and to come back."""
    assert lost("ENOSYS", calls, tmp_path) == {}


@pytest.mark.root
def test_the_record_says_what_was_taken_in_its_place(tmp_path: Path) -> None:
    """And a run has its figures. An end that could not be watched is told: its time is not comparable."""
    words = ("run", "-e", "process,ns-net", "-s", "startup", "--blocks", "1", "--no-report", "-q")
    done = under("ENOSYS", "clone3,unshare", *words, folder=tmp_path)
    assert done.returncode in (0, 5), done.stderr  # 5: a busy host, whose one block is left out
    run = store.load(next(store.find_runs(tmp_path / "results")))
    facts = {record.name: record.facts for record in run.session.environments}
    assert all("clone3, which is refused here" in facts[name]["clone"] for name in ("process", "ns-net"))
    unseen = {skip.environment: skip.reason for skip in run.session.skips if skip.scenario == "startup"}
    assert list(unseen) == ["ns-net"] and "cannot watch network namespaces" in unseen["ns-net"]
    assert not run.session.failures


@pytest.mark.root
@pytest.mark.docker
def test_containers_do_without_the_watch(tmp_path: Path) -> None:
    """The harness in a container that may use the engine's socket and make no namespaces."""
    assert lost("EPERM", "unshare,setns", tmp_path, "docker,docker-nonet") == {}
