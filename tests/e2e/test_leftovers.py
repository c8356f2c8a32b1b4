"""Nothing is left behind: after a run, after Ctrl-C, and after kill -9 followed by `isobench clean`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench.results import store
from tests.busy import soon
from tests.e2e.test_commands import ROOT, isobench

pytestmark = pytest.mark.root


def start(folder: Path, environments: str) -> subprocess.Popen[bytes]:
    """A run without end, begun."""
    words = ("run", "-e", environments, "-s", "startup", "--blocks", "1000000", "--no-report")
    return subprocess.Popen(
        [sys.executable, "-m", "verification.undisturbed", *words],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ISOBENCH_STATE": str(folder / "state"),
            "ISOBENCH_WORK": str(folder),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def await_block(folder: Path, blocks: int = 2) -> None:
    """Wait until a few blocks are on disk."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for path in store.find_runs(folder / "results"):
            if len(store.load(path).session.blocks) >= blocks:
                return
        time.sleep(0.1)
    raise AssertionError("no block was saved")


def found(folder: Path) -> list[str]:
    """What there is of ours on this host, counted without isobench's own bookkeeping."""
    left = [str(p) for p in folder.glob("isobench-*")]
    left += [str(p) for p in (folder / "state").glob("isobench-*")]
    left += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = cmdline.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = str((cmdline.parent / "cwd").readlink())
        except OSError:
            continue
        if f"{folder}/isobench-" in words or f"{folder}/isobench-" in cwd:
            left.append(words)
    left += [str(p) for p in Path("/sys/fs/cgroup").glob("*/isobench-*") if folder_owns(p, folder)]
    return left


def folder_owns(cgroup: Path, folder: Path) -> bool:
    """Whether a cgroup's run is one of this test."""
    return any(cgroup.name in str(path) for path in (folder / "results").glob("*/*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run(tmp_path: Path, number: signal.Signals) -> None:
    """It ends with 130, its finished blocks load, nothing is left."""
    process = start(tmp_path, "process,ns-all,handmade")
    await_block(tmp_path)
    process.send_signal(number)
    assert process.wait(timeout=300) == 130
    run = store.load(next(store.find_runs(tmp_path / "results")))
    assert run.session.stopped == "interrupted" and len(run.session.blocks) >= 2
    assert found(tmp_path) == []


def test_a_killed_run_is_cleaned(tmp_path: Path) -> None:
    """After kill -9 every finished block loads, and `clean` removes the rest, once."""
    process = start(tmp_path, "process,ns-all,handmade")
    await_block(tmp_path)
    process.kill()
    process.wait()
    run = store.load(next(store.find_runs(tmp_path / "results")))
    assert len(run.session.blocks) >= 2 and run.session.stopped == ""
    environ = {"ISOBENCH_STATE": str(tmp_path / "state"), "ISOBENCH_WORK": str(tmp_path)}
    assert found(tmp_path) != []
    assert isobench("clean", folder=tmp_path, **environ).returncode == 0
    assert soon(lambda: found(tmp_path) == []), found(tmp_path)  # what was killed takes a moment to end
    assert isobench("clean", folder=tmp_path, **environ).stdout == "nothing to clean\n"


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    """Two runs at once would measure each other: the second names the first one's pid."""
    process = start(tmp_path, "process")
    try:
        await_block(tmp_path)
        environ = {"ISOBENCH_STATE": str(tmp_path / "state"), "ISOBENCH_WORK": str(tmp_path)}
        second = isobench("run", "-e", "process", "-s", "startup", "--blocks", "1", folder=tmp_path, **environ)
        assert second.returncode == 2 and f"pid {process.pid}" in second.stderr
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=300)
