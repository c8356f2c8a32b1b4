"""What is taken for ours, and all that is not."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from isobench.core.errors import UsageError
from isobench.filesystem import ownership
from isobench.filesystem.ownership import NotOurs

STRANGER = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of ours."""
    tmp_path.chmod(0o755)
    return tmp_path


def test_a_way_is_followed_to_its_end(place: Path) -> None:
    """Links of ours, dots, and a part that is not there yet."""
    (place / "real/inner").mkdir(parents=True)
    (place / "link").symlink_to("real")
    (place / "real/back").symlink_to(place / "link")
    assert ownership.settled(place / "link/back/inner/../new/new") == (place / "real/new/new").resolve()


def test_a_relative_folder_is_one_of_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It means the same after the working folder has changed."""
    monkeypatch.chdir(place)
    assert ownership.own_folder(Path("mine")) == place.resolve() / "mine"


def test_a_relative_folder_of_nowhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder that is gone is told."""
    (place / "gone").mkdir()
    monkeypatch.chdir(place / "gone")
    (place / "gone").rmdir()
    with pytest.raises(UsageError, match="w is relative, and the current folder no longer exists"):
        ownership.settled(Path("w"))


def test_links_in_a_circle(place: Path) -> None:
    """End."""
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    with pytest.raises(NotOurs, match="circle"):
        ownership.settled(place / "a")


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777])
def test_a_folder_that_others_can_write_is_not_ours(place: Path, mode: int) -> None:
    """On the way a sticky one may be: nobody moves there what is another's."""
    (place / "open/mine").mkdir(parents=True)
    (place / "open").chmod(mode)
    with pytest.raises(NotOurs, match="can be written by others"):
        ownership.own_folder(place / "open")
    assert stat.S_IMODE((place / "open").stat().st_mode) == mode
    if mode & stat.S_ISVTX:
        assert ownership.own_folder(place / "open/mine") == place.resolve() / "open/mine"
    else:
        with pytest.raises(NotOurs, match="open can be written by others"):
            ownership.own_folder(place / "open/mine")


def test_a_folder_that_was_there_keeps_its_mode(place: Path) -> None:
    """One that is made gets the mode that was asked for, whatever the umask."""
    (place / "there").mkdir(mode=0o750)
    ownership.own_folder(place / "there", 0o711)
    before = os.umask(0o077)
    try:
        ownership.own_folder(place / "new", 0o711)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((place / name).stat().st_mode) for name in ("there", "new")] == [0o750, 0o711]


@pytest.mark.root
@pytest.mark.parametrize("what", ["folder", "way", "link", "sticky way"])
def test_what_belongs_to_a_stranger(place: Path, what: str) -> None:
    """Himself, on the way, by a link of his, and where he owns the sticky folder."""
    (place / "his/inner").mkdir(parents=True)
    (place / "ours").mkdir()
    (place / "link").symlink_to("ours")
    asked = {"folder": "his/inner", "way": "his/inner", "link": "link", "sticky way": "his/inner"}[what]
    foreign = {"folder": "his/inner", "way": "his", "link": "link", "sticky way": "his"}[what]
    if what == "sticky way":
        (place / "his").chmod(0o1777)
    os.chown(place / foreign, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(NotOurs, match=f"{foreign} .*belongs to user {STRANGER}"):
        ownership.own_folder(place / asked)


@pytest.mark.root
@pytest.mark.parametrize("what", ["fifo", "socket", "device", "folder", "link", "large", "open", "foreign", "absent"])
def test_only_a_small_regular_file_of_ours_is_read(place: Path, what: str) -> None:
    """Nothing else is, and nothing makes us wait."""
    file = place / "record"
    if what == "fifo":
        os.mkfifo(file)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(file))
    elif what == "device":
        os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    elif what == "folder":
        file.mkdir()
    elif what == "link":
        (place / "target").write_text("{}")
        file.symlink_to("target")
    elif what != "absent":
        file.write_bytes(b"x" * (ownership.LIMIT + (what == "large")))
        file.chmod(0o666 if what == "open" else 0o600)
        if what == "foreign":
            os.chown(file, STRANGER, STRANGER)
    with ownership.folder(place) as within, pytest.raises((NotOurs, OSError)):
        ownership.read_file("record", within)


def test_a_file_of_ours_is_read(place: Path) -> None:
    """To its last byte."""
    (place / "record").write_bytes(b"x" * ownership.LIMIT)
    with ownership.folder(place) as within:
        assert ownership.read_file("record", within) == b"x" * ownership.LIMIT


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "members", "private"),
    [("user", [], True), ("user", ["user"], True), ("user", ["user", "other"], False), ("users", [], False)],
)
def test_only_a_private_group_may_write(
    name: str, members: list[str], private: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One called like the user, without others in it; on some systems all users' first group is the same."""
    group = grp.struct_group((name, "x", 1234, members))
    user = pwd.struct_passwd(("user", "x", os.geteuid(), 1234, "", "/", "/bin/sh"))
    monkeypatch.setattr(grp, "getgrgid", lambda number: group)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: user)
    monkeypatch.setattr(os, "getegid", lambda: 1234)
    (place / "shared").mkdir()
    os.chown(place / "shared", -1, 1234)
    (place / "shared").chmod(0o775)
    if private:
        assert ownership.own_folder(place / "shared") == place.resolve() / "shared"
    else:
        with pytest.raises(NotOurs, match="can be written by others"):
            ownership.own_folder(place / "shared")
