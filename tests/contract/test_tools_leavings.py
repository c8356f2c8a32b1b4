"""What tools keep of an instance in places of their own carries the run's name, and goes with the run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from isobench.contracts.answers import first_answer
from isobench.contracts.capabilities import HasHarness
from isobench.contracts.environment import Instance
from isobench.contracts.launch import idle, limited, working
from isobench.core.errors import MeasurementError, Unavailable
from isobench.filesystem.mounts import remove_tree
from isobench.filesystem.paths import RUN_PREFIX, work_root
from isobench.lifecycle.processes import kill_processes
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.processes.accounting import text_of
from tests.conftest import STRICT
from verification.faults import trees

pytestmark = pytest.mark.root

NAMES = ("lxc", "nspawn", "podman", "containerd", "runc", "handmade")


@pytest.fixture
def run() -> Iterator[str]:
    name = f"{RUN_PREFIX}{new_run_id()}"
    (work_root() / name).mkdir(mode=0o711)
    yield name
    remove_tree(work_root() / name)


def kept(run: str) -> list[str]:
    """What carries the run's name, cgroups and files, wherever the mechanisms keep something."""
    found = {what for _, what in trees.take() if run.lower() in what.lower()}
    found |= {str(state) for state in Path("/run").glob("*/*/state.json") if run in text_of(state)}  # runc's
    return sorted(what for what in found if not what.startswith(str(work_root())))


def opened(name: str, run: str) -> Path:
    workdir = work_root() / run / name
    workdir.mkdir()
    return workdir


def killed(instance: Instance, run: str) -> None:
    """Kill everything of it at once, so that no tool can put away what is its own, and wait for what cannot come."""
    for pid in (*instance.host_pids(), *(instance.harness_pids() if isinstance(instance, HasHarness) else [])):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    kill_processes(run)
    instance.wait()


@pytest.mark.parametrize("name", NAMES)
def test_an_undisturbed_run_leaves_nothing(name: str, run: str) -> None:
    """With the environment all of it is gone; another run is not needed, nor `clean`."""
    environment, workdir = catalog.environments()[name], opened(name, run)
    try:
        with environment.open(workdir) as sandbox, sandbox.launch(idle()) as instance:
            assert instance.wait() == 0
    except Unavailable as error:
        (pytest.fail if STRICT else pytest.skip)(error.reason)  # provisioning installs every one of these tools
    assert kept(run) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_instance_is_swept(name: str, run: str) -> None:
    """By the sweep, since its tool could not."""
    environment, workdir = catalog.environments()[name], opened(name, run)
    tree = None
    try:
        with pytest.raises(MeasurementError), environment.open(workdir) as sandbox, sandbox.launch(idle()) as instance:
            tree = next(iter(workdir.glob("root-*")), workdir).stat()
            killed(instance, run)
    except Unavailable as error:
        (pytest.fail if STRICT else pytest.skip)(error.reason)  # provisioning installs every one of these tools
    assert tree is not None, "it could not be launched"
    catalog.sweep(run)
    assert kept(run) == [] and not Path(f"/run/systemd/nspawn/locks/inode-{tree.st_dev}:{tree.st_ino}").exists()


@pytest.mark.parametrize("name", ["handmade", "runc", "podman"])
def test_an_instance_that_is_held_back_is_swept(name: str, run: str) -> None:
    """Killed while its cgroup lets it run for a fiftieth of the time, of which it needs some to end."""
    environment, workdir = catalog.environments()[name], opened(name, run)
    burning = limited(working("burn", "8", "1"), cpu_percent=2, processes=64)
    try:
        with (
            pytest.raises(MeasurementError),
            environment.open(workdir) as sandbox,
            sandbox.launch(burning) as instance,
        ):
            instance.stdin.write(b"\n")
            assert first_answer(instance.stdout) == {"burning": 8}
            killed(instance, run)
    except Unavailable as error:
        (pytest.fail if STRICT else pytest.skip)(error.reason)
    catalog.sweep(run)
    assert kept(run) == []
