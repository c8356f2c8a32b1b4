"""The slice that a rootless engine asks for its controllers, and the folders that it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.core.errors import Unavailable
from isobench.environments._ordinary_user import user_of
from isobench.environments.docker import _rootless
from isobench.environments.docker._rootless import _with_slice, _without_slice
from isobench.environments.docker.rootless import ENVIRONMENTS
from isobench.resources import cgroups

RUN = "isobench-20260101T000000Z-abcdef"


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sandbox's folder, on a host with cgroup version 2."""
    root, work = tmp_path / "cgroup", tmp_path / RUN / "docker-rootless"
    work.mkdir(parents=True)
    root.mkdir()
    (root / "cgroup.controllers").touch()
    monkeypatch.setattr(cgroups, "ROOT", root)
    return work


@pytest.mark.parametrize("has_systemd", [True, False])
def test_a_slice_is_made_and_removed_and_systemds_own_stays(workdir: Path, has_systemd: bool) -> None:
    users = cgroups.ROOT / "user.slice"
    if has_systemd:
        users.mkdir()
    _with_slice(workdir)
    own = users / f"user-{user_of(RUN)}.slice"
    assert own.is_dir()
    assert _without_slice(workdir) == [str(own), *([] if has_systemd else [str(users)])]
    assert not own.exists() and users.is_dir() == has_systemd
    assert _without_slice(workdir) == []


def test_a_slice_that_is_there_is_not_removed(workdir: Path) -> None:
    """Whoever made it."""
    own = cgroups.ROOT / f"user.slice/user-{user_of(RUN)}.slice"
    own.mkdir(parents=True)
    _with_slice(workdir)
    assert _without_slice(workdir) == [] and own.is_dir()


def test_what_a_dead_run_made_is_removed_by_the_sweep(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workdir / "user").mkdir()
    _with_slice(workdir)
    monkeypatch.setattr(_rootless, "work_folder", lambda run: workdir.parent)
    own, users = f"{cgroups.ROOT}/user.slice/user-{user_of(RUN)}.slice", f"{cgroups.ROOT}/user.slice"
    assert _rootless.sweep(RUN) == [f"removed cgroup {own}", f"removed cgroup {users}"]


def test_with_version_1_there_is_none(workdir: Path) -> None:
    (cgroups.ROOT / "cgroup.controllers").unlink()
    _with_slice(workdir)
    assert not (cgroups.ROOT / "user.slice").exists() and _without_slice(workdir) == []


def test_a_host_that_gives_no_cgroup_is_told(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(Unavailable, match=r"a user.s slice cannot be made: .*Permission denied"):
        _with_slice(workdir)


@pytest.mark.parametrize("name", ["a b", "a%b", "a:b", "a,b"])
def test_a_folder_that_its_script_or_dockerd_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """dockerd-rootless.sh divides its options at spaces."""
    monkeypatch.setattr(_rootless, "_script", lambda: "/dockerd-rootless.sh")
    with pytest.raises(Unavailable, match="a rootless dockerd cannot use") as raised:
        _rootless.opened(ENVIRONMENTS[0], tmp_path / name).__enter__()  # type: ignore[arg-type]
    assert raised.value.remedy == "set ISOBENCH_WORK to a folder with a simpler name"
