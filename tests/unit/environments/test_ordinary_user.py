"""An ordinary user of a run's own: its ids, and the reasons why a host lets it have no user namespace."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.core.errors import Unavailable
from isobench.environments import _ordinary_user
from isobench.environments._ordinary_user import IDS, NAME, OrdinaryUser, check_ids, enter, user_of


@given(st.text())
def test_its_ids_belong_to_nobody(run: str) -> None:
    """Above those of systemd's containers, and within what a signed number of 32 bits can hold."""
    assert user_of(run) >= 0x7000_0000 and user_of(run) + IDS < 2**31


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("user/max_user_namespaces", "0\n", "sysctl user.max_user_namespaces=10000"),
        ("kernel/unprivileged_userns_clone", "0\n", "sysctl kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1\n",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_host_that_forbids_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, remedy: str
) -> None:
    monkeypatch.setattr(_ordinary_user, "find", lambda name: name)
    monkeypatch.setattr(_ordinary_user, "text_of", lambda path: value if path == f"/proc/sys/{setting}" else "")
    with pytest.raises(Unavailable, match="may not create user namespaces") as raised:
        OrdinaryUser(tmp_path, "isobench-1")
    assert raised.value.remedy == remedy


def test_what_is_forbidden_to_ordinary_users_is_not_to_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose engine makes a namespace of the user's ids, unless nobody may make one."""
    (tmp_path / "closed").mkdir(mode=0o700)
    monkeypatch.setattr(_ordinary_user, "text_of", lambda path: "0" if path.endswith("userns_clone") else "")
    with pytest.raises(Unavailable, match="cannot reach"):
        check_ids(tmp_path / "closed", of_root=True)
    with pytest.raises(Unavailable, match="ordinary users may not"):
        check_ids(tmp_path / "closed")
    monkeypatch.setattr(_ordinary_user, "text_of", lambda path: "0" if path.endswith("max_user_namespaces") else "")
    with pytest.raises(Unavailable, match=r"^users may not create user namespaces"):
        check_ids(tmp_path, of_root=True)


def test_the_users_of_the_host_stay_in_the_run_s_files(tmp_path: Path) -> None:
    """Line by line as they were, with the run's user after them."""
    enter(tmp_path, "isobench-1", tmp_path / "home")
    for name in ("passwd", "group", "subuid", "subgid"):
        known = Path("/etc", name).read_text().splitlines()
        *before, mine = (tmp_path / name).read_text().splitlines()
        assert before == known and mine.startswith(f"{NAME}:")
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


def test_a_folder_that_it_cannot_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the folders above it: the first that is closed is named."""
    monkeypatch.setattr(_ordinary_user, "find", lambda name: name)
    monkeypatch.setattr(_ordinary_user, "text_of", lambda path: "")
    work = tmp_path / "work"
    work.mkdir(mode=0o700)
    with pytest.raises(Unavailable, match="ordinary users cannot reach") as raised:
        OrdinaryUser(work, "isobench-1")
    assert f"chmod o+x {work}" in raised.value.remedy


def test_without_newuidmap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ordinary_user, "find", lambda name: None)
    with pytest.raises(Unavailable, match="newuidmap is not installed") as raised:
        OrdinaryUser(tmp_path, "isobench-1")
    assert raised.value.remedy == "apt-get install uidmap"


def test_a_folder_that_the_user_would_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the folder of which the user's namespace has another one: said before anything is mounted."""
    monkeypatch.setattr(_ordinary_user, "find", lambda name: name)
    monkeypatch.setattr(_ordinary_user, "check_ids", lambda workdir: None)
    monkeypatch.setattr(_ordinary_user, "_SHARED_MEMORY", tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "link").symlink_to("work")
    with pytest.raises(Unavailable, match=r"link/docker is in .*, of which the run's ordinary user") as raised:
        OrdinaryUser(tmp_path / "link/docker", "isobench-1")
    assert raised.value.remedy == "set ISOBENCH_WORK to a folder on a disk"
    assert not (tmp_path / "work/docker").exists()
