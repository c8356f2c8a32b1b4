"""The tools that take things away are not told when Ctrl-C is pressed: the terminal tells the harness's group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isobench.contracts.launch import NO_LIMITS
from isobench.environments.libvirt import _network
from isobench.environments.runtimes import _blob_cache, _ctr, _podman
from isobench.environments.runtimes._ctr_images import CtrImages
from isobench.environments.runtimes._podman import PodmanDriver
from isobench.environments.runtimes._runtime import Driver
from isobench.environments.runtimes._sandbox import RuntimeSandbox

TOOL = "#!/bin/sh\ncut -d' ' -f5 /proc/$$/stat\n"
"""Says its process group (proc(5))."""


def test_without_the_right_to_mount_the_cache_is_in_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is the work folder; nothing comes before a command then."""
    monkeypatch.setattr(_blob_cache, "lacking", lambda: ["CAP_SYS_ADMIN"])
    cache = _blob_cache.BlobCache(tmp_path)
    assert cache.words() == [] and list(tmp_path.glob("cache*")) == []
    cache.close()


def _sandbox() -> RuntimeSandbox:
    sandbox = RuntimeSandbox.__new__(RuntimeSandbox)
    sandbox.driver = Driver()
    return sandbox


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ctr", "ip", "podman"):
        (tmp_path / name).write_text(TOOL)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_each_has_a_group_of_its_own() -> None:
    """ctr, ip and whatever a runtime needs beside its instances."""
    sandbox = _sandbox()
    said = [_ctr._said("isobench-run", "/none", "x"), _network._ip("x"), sandbox.tool("podman")]
    groups = {int(line) for line in said}
    assert len(groups) == 3 and os.getpgrp() not in groups


def test_a_tool_is_set_up_as_it_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what its caller has set for it, which could send it to another engine, or to other storage."""
    (tmp_path / "podman").write_text("#!/bin/sh\nenv; cat\n")
    (tmp_path / "image:1").write_text("the image")
    for name in ("CONTAINER_HOST", "CONTAINERS_CONF", "TMPDIR", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/none")
    sandbox = _sandbox()
    with (tmp_path / "image:1").open("rb") as image:
        said = sandbox.tool("podman", stdin=image.fileno())
    assert "/none" not in said and said.endswith("the image")


def test_ctr_pulls_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its caller's snapshotter nor anything else that is set for it: an instance is started without that."""
    (tmp_path / "ctr").write_text("#!/bin/sh\nenv\n")
    for name in ("CONTAINERD_SNAPSHOTTER", "CONTAINERD_NAMESPACE", "GOGC", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/none")
    images = CtrImages(tmp_path, ["ctr"], tmp_path)
    for said in (images._said("images", "pull"), _ctr._said("isobench-run", "/none", "x")):
        assert "/none" not in said and f"PATH={tmp_path}" in said


def test_podman_keeps_all_of_its_own_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that are being copied, settings, runc's state: what stays if it is killed goes with the run."""
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path))
    sandbox = _sandbox()
    sandbox.workdir, sandbox.run, sandbox.given, sandbox.image = tmp_path / "work", "isobench-1-abcdef", None, ""
    sandbox.memory_limit, sandbox.limits = 0, NO_LIMITS
    podman = PodmanDriver()
    told = podman.environ(sandbox)
    assert (told["HOME"], told["TMPDIR"]) == (str(sandbox.workdir),) * 2
    assert told["XDG_RUNTIME_DIR"] == f"{tmp_path}/podman-abcdef"
    assert f"--runtime-flag=root={sandbox.workdir}/runc" in podman.command(sandbox, "NAME", ("ready",))
    assert podman._cache is None  # before it is made
    sandbox.image = "127.0.0.1:5000/run/image:latest"
    assert podman.command(sandbox, "NAME", ("ready",))[-3:] == [sandbox.image, "/probe", "ready"]


@pytest.mark.parametrize("there", ["nothing", "the folder above", "both"])
def test_the_cache_of_podman_is_the_sandboxs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    """The host's folder is made for it if there is none, and goes again unless somebody has put something there."""
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path))
    monkeypatch.setattr(_blob_cache, "_CACHE", tmp_path / "containers/cache")
    monkeypatch.setattr(_blob_cache, "_RUNTIME", tmp_path / "nobody's")
    monkeypatch.setattr(_blob_cache, "lacking", list)
    mounted: list[list[str]] = []
    monkeypatch.setattr(_blob_cache, "MountNamespace", lambda script, words, run, **options: mounted.append(words))
    if there != "nothing":
        (tmp_path / "containers").mkdir()
    if there == "both":
        (tmp_path / "containers/cache").mkdir()
    workdir = tmp_path / "work/isobench-1/podman"
    workdir.mkdir(parents=True, mode=0o700)
    _blob_cache.BlobCache(workdir)
    assert mounted == [[f"{workdir}/cache", f"{tmp_path}/containers/cache", ""]]
    assert (tmp_path / "containers/cache").is_dir()
    _podman.sweep("isobench-1")
    assert (tmp_path / "containers/cache").exists() == (there == "both")
    assert (tmp_path / "containers").exists() == (there != "nothing")
