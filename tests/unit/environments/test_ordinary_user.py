"""An ordinary user of a run's own: its ids, and the reasons why a host lets it have no user namespace."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.core.errors import Unavailable
from isobench.environments import _ordinary_user
from isobench.environments._ordinary_user import IDS, OrdinaryUser, user_of


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
