"""Docker with an engine of its own: which there are, what each is compared with, and why a host has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.capabilities import Capability
from isobench.core.errors import Unavailable
from isobench.environments.docker import _drivers
from isobench.environments.docker._leftovers import OWN_ENGINES
from isobench.environments.docker.drivers import ENVIRONMENTS, DriverDocker
from isobench.environments.docker.engine import MECHANISM
from isobench.planning import catalog
from isobench.processes import programs

DRIVERS = {one.name: one for one in ENVIRONMENTS if isinstance(one, DriverDocker)}
STATE = Path("/var/lib/isobench/work/isobench-20260101T000000Z-abcdef/docker-vfs/engine")


@pytest.fixture(autouse=True)
def _anything_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_drivers, "find", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 0)


def test_those_without_the_hosts_engine_are_known_to_its_sweep() -> None:
    """Which otherwise waits for an engine that the run has not used."""
    every = catalog.environments().values()
    assert {one.name for one in every if one.name.startswith("docker-") and MECHANISM not in one.mechanisms} == {
        *OWN_ENGINES
    }


def test_a_single_factor_is_one() -> None:
    """Against the engine of the same make: the driver, or the user namespace, and nothing else of the configuration.
    containerd's image store has a driver of its own, so those two lines are one thing."""
    settings = {name: _drivers._configuration(one, STATE) for name, one in DRIVERS.items()}
    base = settings["docker-overlay2"]
    for name, one in DRIVERS.items():
        differing = {key for key in settings[name].keys() | base.keys() if settings[name].get(key) != base.get(key)}
        if one.single_factor:
            assert one.compared_with == "docker-overlay2"
            store = {"features"} if one.in_containerd else set()
            assert differing == {"userns-remap" if one.is_remapped else "storage-driver"} | store
    assert {name for name, one in DRIVERS.items() if not one.single_factor} == {"docker-overlay2", "docker-btrfs"}


def test_the_engine_touches_nothing_of_the_hosts_network() -> None:
    """Nor does it take settings from elsewhere; what it is told can be written as JSON."""
    for one in DRIVERS.values():
        told = json.loads(json.dumps(_drivers._configuration(one, STATE)))
        assert told["bridge"] == "none" and not any(told[key] for key in ("iptables", "ip6tables", "ip-forward"))
        assert told["cgroup-parent"] == "/isobench-20260101T000000Z-abcdef-docker-vfs"
        assert all(told[key].startswith("/run/") for key in ("exec-root", "pidfile"))


def test_who_limits_the_disk() -> None:
    """Not where somebody outside the container's cgroup reads and writes it."""
    able = {name for name, one in DRIVERS.items() if Capability.LIMIT_DISK in one.capabilities}
    assert able == {"docker-overlay2", "docker-containerd", "docker-vfs", "docker-remap"}


@pytest.mark.parametrize(
    ("name", "absent", "remedy"),
    [
        ("docker-vfs", "dockerd", "apt-get install docker.io"),
        ("docker-fuse", "fuse-overlayfs", "apt-get install fuse-overlayfs"),
        ("docker-btrfs", "mkfs.btrfs", "apt-get install btrfs-progs"),
    ],
)
def test_a_program_that_is_not_installed(
    name: str, absent: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_drivers, "find", lambda program: None if program == absent else program)
    with pytest.raises(Unavailable, match=f"{absent} is not installed") as raised:
        _drivers._check(DRIVERS[name], tmp_path)
    assert raised.value.remedy == remedy


@pytest.mark.parametrize(
    ("name", "device", "module"), [("docker-fuse", "/dev/fuse", "fuse"), ("docker-btrfs", "/dev/loop-control", "loop")]
)
def test_a_device_that_is_not_there(
    name: str, device: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) != device and exists(path))
    with pytest.raises(Unavailable, match=f"there is no {device}") as raised:
        _drivers._check(DRIVERS[name], tmp_path)
    assert raised.value.remedy == f"modprobe {module}"


def test_a_kernel_without_btrfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_drivers, "_DEVICES", {})
    monkeypatch.setattr(_drivers, "text_of", lambda path: "nodev\ttmpfs\n\text4\n")
    with pytest.raises(Unavailable, match="the kernel has no btrfs"):
        _drivers._check(DRIVERS["docker-btrfs"], tmp_path)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", 20),
        ("Docker version 24.0.0, build 98fdcd7", 24),
        ("Docker version 26.1.5+dfsg1, build a72d7cd", 26),
        ("", 0),
    ],
)
def test_an_engine_that_is_too_old_for_the_image_store(
    said: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not say its version is tried; the others need no version."""
    monkeypatch.setattr(programs, "version", lambda program: said)
    assert _drivers.engine_version() == number
    if number != 20:
        _drivers._check(DRIVERS["docker-containerd"], tmp_path)
        return
    with pytest.raises(Unavailable, match="Docker 20 cannot use containerd's image store") as raised:
        _drivers._check(DRIVERS["docker-containerd"], tmp_path)
    assert raised.value.remedy == "Docker 24.0 or newer"
    _drivers._check(DRIVERS["docker-overlay2"], tmp_path)


def test_whoever_is_not_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Unavailable, match="needs root"):
        _drivers._check(DRIVERS["docker-vfs"], tmp_path)


def test_folders_that_the_engine_cannot_use() -> None:
    """What the engine has of its own at /run would hide it; and a name that ends an option of the overlay."""
    with pytest.raises(Unavailable, match="is in /run"):
        _drivers._check(DRIVERS["docker-vfs"], Path("/run/x/isobench-1/docker-vfs"))
    with pytest.raises(Unavailable, match="its name contains ':'"):
        _drivers._check(DRIVERS["docker-vfs"], Path("/var/a:b/isobench-1/docker-vfs"))


class Client:
    """An engine that has no images."""

    def images(self, filters: Any) -> list[Any]:
        return []

    def prune_builds(self, *, all: bool) -> None:
        pass


def test_what_an_image_takes_is_by_how_much_the_data_have_grown(tmp_path: Path) -> None:
    """Since there was nothing of it, also where the driver names no folders."""
    sizes = iter([1000, 5000, 7000, 3000, 3100])
    images = _drivers.DriverImages(Client(), "", tmp_path / "isobench-1/docker-vfs", 1, lambda: next(sizes))
    images.clear("slim")
    assert [images.disk_bytes("a:1"), images.disk_bytes("a:1")] == [4000, 6000]
    images.clear("slim")
    assert images.disk_bytes("a:1") == 100


def test_its_signatures_are_those_of_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the host's engine demands, or if the host has none."""
    monkeypatch.delenv("DOCKER_CONTENT_TRUST", raising=False)
    monkeypatch.setattr(_drivers.DriverSandbox, "__init__", lambda self: None)
    sandbox = _drivers.DriverSandbox()  # type: ignore[call-arg]
    sandbox._workdir = tmp_path
    (tmp_path / "engine").mkdir()
    settings = _drivers._configuration(DRIVERS["docker-vfs"], tmp_path / "engine")
    (tmp_path / "engine/daemon.json").write_text(json.dumps(settings))
    assert sandbox.signatures() == (
        "any image is accepted, also one that nobody has signed (WORK/engine/daemon.json has no content-trust); "
        "DOCKER_CONTENT_TRUST is not set"
    )
