"""Fresh cgroups on this host's own layout and, where a version 2 tree is mounted beside it, on that tree, too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from isobench.contracts.launch import idle
from isobench.filesystem.paths import RUN_PREFIX, work_root
from isobench.host.machine import cgroup_layout
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.resources import cgroups

pytestmark = pytest.mark.root

UNIFIED = Path("/sys/fs/cgroup/unified")
"""Where a hybrid layout has its version 2 tree: without most controllers, but processes are created inside it."""


@pytest.mark.parametrize("root", [cgroups.ROOT, UNIFIED], ids=["own", "unified"])
def test_an_instance_lives_in_a_cgroup_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes are in the fresh cgroup while it lives; with the sandbox the last folder of the run is gone."""
    if not root.exists():
        pytest.skip(f"with the layout {cgroup_layout()} there is no tree of version 2 beside another")
    monkeypatch.setattr(cgroups, "ROOT", root)
    _lives(root)


def test_controllers_that_share_a_hierarchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd mounts cpu and cpuacct together, and links both names there: an instance has one cgroup for both."""
    if cgroups.is_version_2():
        pytest.skip("version 2 has one hierarchy")
    for place in cgroups.ROOT.iterdir():
        (tmp_path / place.name).symlink_to(place)
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(cgroups.ROOT / "cpu")
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    _lives(Path("/sys/fs/cgroup"))


def _lives(root: Path) -> None:
    run = f"{RUN_PREFIX}{new_run_id()}"
    workdir = work_root() / run / "ns-all+cgroup"
    workdir.mkdir(parents=True)
    try:
        with catalog.environments()["ns-all+cgroup"].open(workdir) as sandbox:
            options = sandbox.facts()["launcher"]
            assert ("--into-cgroup" in options) == (root / "cgroup.controllers").exists()
            with sandbox.launch(idle(timeout=30)) as instance:
                (pid,) = (pid for pid, role in instance.host_pids().items() if role == "payload")
                inside = [line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if f"/{run}/" in line]
                assert inside
                assert ("0::" in "".join(inside)) == (root / "cgroup.controllers").exists()
                instance.wait()
    finally:
        shutil.rmtree(workdir.parent)
    assert not [folder for folder, names, _ in os.walk(root) if run in names]


def test_cgroups_are_found_wherever_they_are() -> None:
    """Tools make them below the one that they are started in; another's, whose name only begins so, stays."""
    root = next(place for place in (Path("/sys/fs/cgroup/pids"), cgroups.ROOT) if (place / "cgroup.procs").exists())
    run = f"{RUN_PREFIX}{new_run_id()}"
    session = root / "isobench-test-session"
    ours, below, theirs = session / f"lxc.payload.{run}-1", session / f"qemu-3-{run}-tcg-1", session / f"{run}0"
    try:
        for place in (ours / "init", below / "emulator", theirs):
            place.mkdir(parents=True)
        assert cgroups.remove(f"lxc.*.{run}-*") == [f"cgroup {ours}"]
        assert cgroups.remove(f"qemu-*-{run}-*") == [f"cgroup {below}"] and cgroups.remove(run) == []
        assert theirs.is_dir() and not ours.exists() and not below.exists()
    finally:
        for place in (ours / "init", ours, below / "emulator", below, theirs, session):
            if place.is_dir():
                place.rmdir()


def test_a_process_that_takes_a_while_to_end_is_waited_for() -> None:
    """As with a small quota on a slow host. Here the kernel holds it back for longer than it takes to end elsewhere."""
    freezer = Path("/sys/fs/cgroup/freezer")
    if not (freezer / "cgroup.procs").exists():
        pytest.skip("only version 1 keeps what is frozen from being killed")
    run = f"{RUN_PREFIX}{new_run_id()}"
    (freezer / run).mkdir()
    held = subprocess.Popen(["sleep", "600"])
    thaw = threading.Timer(3, (freezer / run / "freezer.state").write_text, ["THAWED"])
    try:
        (freezer / run / "cgroup.procs").write_text(str(held.pid))
        (freezer / run / "freezer.state").write_text("FROZEN")
        thaw.start()
        assert cgroups.remove(run) == [f"cgroup {freezer / run}"]
        assert held.wait(60) == -signal.SIGKILL  # a process leaves its cgroup before its parent is told
    finally:
        thaw.join()
        held.kill()
        held.wait()
        if (freezer / run).exists():
            (freezer / run).rmdir()
