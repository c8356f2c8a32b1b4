"""An ordinary user's engine: who its instances really are, what they are made of, and that nothing of it remains.

The rest of the contract is that of `podman-rootless` (tests/contract/test_environments.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench.contracts.launch import idle
from isobench.core import deadlines
from isobench.environments._ordinary_user import IDS, user_of
from isobench.processes.accounting import process_name, text_of
from tests.busy import soon
from tests.contract.opening import inner, opened

pytestmark = [pytest.mark.root, pytest.mark.tool("podman"), pytest.mark.tool("newuidmap")]

ROOT = Path(__file__).parents[2]
MADE_OF = {
    "podman-rootless": ("overlay", ["lo"]),
    "podman-rootless-fuse": ("fuse.fuse-overlayfs", ["lo"]),
    "podman-rootless-slirp": ("overlay", ["lo", "tap0"]),
    "docker-rootless": ("overlay", ["eth0", "lo"]),
}
"""Environment -> its root's file system and its network interfaces."""
USERS = ("passwd", "group", "subuid", "subgid")


def _processes(run: str) -> list[int]:
    """Those of the run's user and of its subordinate ids."""
    user = user_of(run)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        lines = text_of(f"{entry}/status").splitlines()
        ids = [int(line.split()[1]) for line in lines if line.startswith("Uid:")]
        if ids and ids[0] in range(user, user + IDS + 1) and "State:\tZ (zombie)" not in lines:
            found.append(int(entry.name))
    return found


def _none_soon(run: str) -> bool:
    """Whether they soon end: a process that was killed takes a moment."""
    deadline = time.monotonic() + deadlines.stretched(60)
    while left := _processes(run):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return not left


def test_a_rootless_docker_is_not_on_the_hosts_loopback() -> None:
    """Which is why it has no images of a registry there."""
    with opened("docker-rootless") as sandbox:
        (dockerd,) = [pid for pid in sandbox.daemons() if process_name(pid) == "dockerd"]
        assert Path(f"/proc/{dockerd}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


@pytest.mark.parametrize("name", MADE_OF)
def test_an_instance_is_what_it_says(name: str) -> None:
    """An ordinary user's on the host, with this storage and this network; the host's users stay as they were."""
    before, shared = [Path("/etc", file).read_bytes() for file in USERS], set(os.listdir("/dev/shm"))
    with opened(name) as sandbox:
        run = inner(sandbox).run
        with sandbox.launch(idle(timeout=120)) as instance:
            (payload,) = [pid for pid, role in instance.host_pids().items() if role == "payload"]
            assert payload in _processes(run)
            root = next(line for line in text_of(f"/proc/{payload}/mountinfo").splitlines() if line.split()[4] == "/")
            devices = [line.partition(":")[0].strip() for line in text_of(f"/proc/{payload}/net/dev").splitlines()[2:]]
            assert (root.partition(" - ")[2].split()[0], sorted(devices)) == MADE_OF[name]
            assert instance.wait() == 0
    assert _none_soon(run)
    assert [Path("/etc", file).read_bytes() for file in USERS] == before
    assert soon(lambda: set(os.listdir("/dev/shm")) <= shared)  # a browser has files there for a moment


@pytest.mark.parametrize(
    ("name", "keepers", "who"),
    [("podman-rootless", {"podman pause", "catatonit"}, "Podman"), ("docker-rootless", {"dockerd"}, "Docker")],
    ids=["podman-rootless", "docker-rootless"],
)
def test_what_a_killed_run_has_left_is_swept(tmp_path: Path, name: str, keepers: set[str], who: str) -> None:
    """Podman keeps a process for its user namespace, and an engine goes on, whatever becomes of us; `clean` ends both,
    with whatever runs in them."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:  # pytest's own
            folder.chmod(folder.stat().st_mode | 0o001)
    folders = {f"ISOBENCH_{kind}": str(tmp_path / kind[0]) for kind in ("STATE", "WORK")}
    environ = {**os.environ, **folders, "PYTHONPATH": str(ROOT)}
    doctor = [sys.executable, "-m", "isobench", "doctor", "-e", name]
    with subprocess.Popen(doctor, env=environ, stdout=subprocess.DEVNULL) as asked:
        runs: list[str] = []
        while not any(process_name(pid) in keepers for run in runs for pid in _processes(run)):
            assert asked.poll() is None, "it never started"
            time.sleep(0.01)
            runs = [folder.parts[-3] for folder in (tmp_path / "W").glob(f"*/{name}/user")]
        asked.kill()
    (run,) = runs
    assert _processes(run)
    clean = [sys.executable, "-m", "isobench", "clean"]
    done = subprocess.run(clean, env=environ, capture_output=True, text=True, check=True)
    assert f"of a rootless {who}" in done.stdout, done.stdout
    assert _none_soon(run) and list((tmp_path / "W").iterdir()) == []
