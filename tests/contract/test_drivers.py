"""Docker with an engine of its own: each storage driver, containerd's image store and userns-remap is what it says, and
nothing of it remains.

The rest of the contract is every environment's (tests/contract/test_environments.py).
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isobench.cells.cell import measured
from isobench.contracts.answers import answers
from isobench.contracts.environment import Instance
from isobench.contracts.launch import idle, working
from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.environments._ordinary_user import IDS, user_of
from isobench.environments.docker import _drivers
from isobench.environments.docker._buildkit import docker_command
from isobench.environments.docker._images import in_containerd
from isobench.filesystem.paths import work_root
from isobench.images.kinds import composition_of_kind
from isobench.lifecycle import leftovers
from isobench.planning import catalog
from isobench.processes.accounting import process_name, text_of
from isobench.resources import cgroups
from isobench.scenarios.image import SCENARIOS
from tests.busy import soon
from tests.contract.image_box import BY_KIND, offered, only_fetched
from tests.contract.opening import has_image_store, inner, opened

pytestmark = [pytest.mark.root, pytest.mark.docker]

KINDS = {
    "docker-overlay2": "overlay",
    "docker-containerd": "overlay",
    "docker-remap": "overlay",
    "docker-vfs": "",
    "docker-fuse": "fuse.fuse-overlayfs",
    "docker-btrfs": "btrfs",
}
"""Environment -> the file system of a container's root; "" for that of the run's folder."""
NAMES = [
    *("docker-overlay2", "docker-containerd", "docker-vfs", "docker-remap"),
    pytest.param("docker-fuse", marks=pytest.mark.tool("fuse-overlayfs")),
    pytest.param("docker-btrfs", marks=pytest.mark.tool("mkfs.btrfs")),
]
JOB = ("--name=x", "--size=1m", "--rw=write", "--bs=64k", "--filename=x", "--thread")


def test_another_engines_bridge_stays() -> None:
    """A dockerd without a bridge removes docker0 from its network namespace, so it has one of its own."""
    index = Path("/sys/class/net/docker0/ifindex").read_text()
    with opened("docker-overlay2"):
        pass
    assert Path("/sys/class/net/docker0/ifindex").read_text() == index
    with opened("docker") as sandbox, sandbox.launch(idle()) as instance:
        assert instance.wait() == 0


def _mounts(pid: int | str) -> list[list[str]]:
    return [line.split() for line in text_of(f"/proc/{pid}/mountinfo").splitlines()]


def _kind(mount: list[str]) -> str:
    return mount[mount.index("-") + 1]


def _kind_beneath(folder: Path) -> str:
    """The file system in which a folder is."""
    above = [mount for mount in _mounts("self") if folder.is_relative_to(mount[4])]
    return _kind(max(above, key=lambda mount: len(mount[4])))


def _payload(instance: Instance) -> int:
    return next(pid for pid, role in instance.host_pids().items() if role == "payload")


def _can_be_here(name: str) -> None:
    if name == "docker-btrfs" and "btrfs" not in text_of("/proc/filesystems").split():
        pytest.skip("the kernel has no btrfs")
    if name == "docker-containerd" and not has_image_store():
        pytest.skip("Docker is older than 24.0, the first with containerd's image store")


@pytest.mark.parametrize("name", NAMES)
def test_a_container_is_what_it_says(name: str) -> None:
    """Its root's file system, its ids on the host, and what it writes there; the host has no mount of it."""
    _can_be_here(name)
    users = [Path("/etc", file).read_bytes() for file in ("passwd", "group", "subuid", "subgid")]
    with opened(name) as sandbox:
        run = inner(sandbox).run
        with sandbox.launch(idle(timeout=120)) as instance:
            payload = _payload(instance)
            (root,) = [mount for mount in _mounts(payload) if mount[4] == "/"]
            assert _kind(root) == (KINDS[name] or _kind_beneath(inner(sandbox)._workdir))
            ids = text_of(f"/proc/{payload}/uid_map").split()
            first = str(user_of(run) + 1)
            assert ids == (["0", first, str(IDS)] if name == "docker-remap" else ["0", "0", "4294967295"])
            served = [pid for pid, role in instance.host_pids().items() if process_name(pid) == "fuse-overlayfs"]
            assert len(served) == (name == "docker-fuse")
            assert {process_name(pid) for pid in sandbox.daemons()} == {"dockerd", "containerd"}
            assert not [mount for mount in _mounts("self") if run in mount[4]]
            assert instance.wait() == 0
        with sandbox.launch(working("fio", *JOB, disk=True, timeout=120)) as instance:
            assert answers(instance)[0]["jobs"][0]["write"]["total_ios"] == 16
        facts = sandbox.facts()
        assert facts["storage"] and run not in facts["storage"] and "host's page cache" not in facts["storage"]
    assert _soon(lambda: _left(run) == []), _left(run)
    assert [Path("/etc", file).read_bytes() for file in ("passwd", "group", "subuid", "subgid")] == users


@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize("name", NAMES)
def test_what_images_and_containers_take_is_what_the_driver_stores(name: str) -> None:
    """With vfs each container takes a whole copy, with the others ten take less than one; every builder builds. In the
    next cell, which builds nothing any more, the pull is cold again."""
    _can_be_here(name)
    size = composition_of_kind("busybox").bytes
    scenario = next(one for one in SCENARIOS if one.name == "image-busybox")
    with opened(name) as sandbox:
        sent, taken = offered(sandbox, "busybox").wire_bytes, []
        for _ in range(2):
            values = scenario.measure(sandbox)
            grown = values["disk-tenth"] - values["disk"]
            assert values["disk"] > 0.9 * size and grown > 0
            if name == "docker-containerd":  # which keeps the compressed layers, too, and tells too late when they came
                assert values["disk"] > 0.9 * size + sent and "fetch" not in values
            assert grown > 9 * size if name == "docker-vfs" else grown < size
            assert {"pull", "pull-top", "load", "push", "remove"} <= values.keys()
            taken.append(values)
            only_fetched(sandbox, "busybox")
        assert {"import", "build", "build-cached"} <= taken[0].keys()
        assert (
            ("buildkit" in taken[0])
            == ("buildkit-cached" in taken[0])
            == bool(docker_command(plugin=name == "docker-containerd"))
        )


def _left(run: str) -> list[str]:
    """What there is of a run: processes with its folder, its cgroups, loop devices with its files, mounts."""
    states = [str(entry) for entry in Path("/proc").glob("[0-9]*") if f"/{run}/" in _environ(entry)]
    loops = [str(file) for file in Path("/sys/block").glob("loop*/loop/backing_file") if run in text_of(file)]
    mounts = [mount[4] for mount in _mounts("self") if run in mount[4]]
    return [*states, *map(str, cgroups._named(f"{run}*")), *loops, *mounts]


def _environ(process: Path) -> str:
    try:
        return (process / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


HARNESS = """
import sys, time
from isobench.contracts.launch import idle
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from tests.contract.opening import learn_this_host
learn_this_host()
with workspace(new_run_id(), catalog.sweep) as workdir:
    place = workdir / sys.argv[1]
    place.mkdir(mode=0o711)
    with catalog.environments()[sys.argv[1]].open(place) as sandbox, sandbox.launch(idle(timeout=600)) as instance:
        print(workdir, *instance.host_pids(), flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_an_engine_with_a_container(name: str, number: signal.Signals) -> None:
    """After Ctrl-C at once; after kill -9 with `clean`, whatever had come so far to an end by itself."""
    _can_be_here(name)
    command = [sys.executable, "-c", HARNESS, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as harness:
        assert harness.stdout is not None
        place, *pids = harness.stdout.readline().split()
        workdir = Path(place)
        assert pids and _left(workdir.name) != []
        harness.send_signal(number)
        harness.wait(timeout=deadlines.stretched(180))
    if number == signal.SIGKILL:
        assert workdir.exists()
        assert [line for line in leftovers.clean(catalog.sweep) if "not cleaned" in line] == []
    assert _soon(lambda: _left(workdir.name) == [] and not any(map(_lives, pids))), _left(workdir.name)
    assert not workdir.exists()


def _lives(pid: str) -> bool:
    return Path("/proc", pid).is_dir() and "State:\tZ" not in text_of(f"/proc/{pid}/status")


def _soon(is_true: Callable[[], bool]) -> bool:
    return soon(is_true, deadlines.stretched(30))


def test_the_image_store_is_containerds_or_the_engine_is_too_old() -> None:
    """By what the engine itself says, and with the reason."""
    if not has_image_store():
        refused = r"Docker \d+ cannot use containerd's image store"
        with pytest.raises(Unavailable, match=refused), opened("docker-containerd"):
            pass
        return
    found = {}
    for name in ("docker-overlay2", "docker-containerd"):
        with opened(name) as sandbox:
            info = inner(sandbox)._client.info()
            found[name] = info["Driver"], in_containerd(info)
    assert found == {"docker-overlay2": ("overlay2", False), "docker-containerd": ("overlayfs", True)}


@pytest.mark.tool("mkfs.btrfs")
def test_an_engine_that_does_not_start_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of what failed, as here a driver that the file system is not for; nothing of it remains."""
    monkeypatch.setattr(_drivers, "_LOOP", "")
    _can_be_here("docker-btrfs")
    refused = r"a dockerd with btrfs did not start: .*prerequisites"
    with pytest.raises(Unavailable, match=refused), opened("docker-btrfs"):
        pass
    mine = re.compile(f"{re.escape(str(work_root()))}/.*docker-btrfs/engine")
    assert _soon(lambda: not any(mine.search(_environ(entry)) for entry in Path("/proc").glob("[0-9]*")))


def test_an_engine_whose_images_are_pruned_goes_on() -> None:
    """The cell that finds its image gone fails with the reason; the next one has it again."""
    scenario = catalog.scenarios()["startup"]
    with opened("docker-overlay2") as sandbox:
        assert measured(scenario, sandbox).failure is None
        assert inner(sandbox)._client.prune_images(filters={"dangling": False})["ImagesDeleted"]
        failed = measured(scenario, sandbox)
        assert failed.failure is not None and "No such image" in failed.failure
        assert failed.failure.endswith("(prune no images while isobench measures)")
        assert measured(scenario, sandbox).failure is None


def test_an_engine_in_another_network_has_no_costs_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of an ordinary user, or in a container: the reason is told, and nothing has failed."""
    with opened("docker-overlay2") as own:
        monkeypatch.setenv("DOCKER_HOST", f"unix:///proc/{inner(own)._pid}/root/run/docker.sock")
        with opened("docker-nonet") as sandbox:
            found = measured(BY_KIND["busybox"], sandbox)
    assert found.failure is None and not found.values
    assert found.short.startswith("the engine does not reach the registry on this host's loopback")
