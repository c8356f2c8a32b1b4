"""Which folders of plays are removed: of this user, of this host, and dead."""

from __future__ import annotations

import os
import string
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.lifecycle import leftovers, plays
from isobench.processes.accounting import pids_with

HERE = f"isobench-play-{os.uname().nodename}-"
HOUR = 3600
STRANGER = 65534
AS_STRANGER = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")


def made(work: Path, name: str, *, kind: str = "folder", age: float = 2 * HOUR, user: int | None = None) -> Path:
    """Something in the shared folder, last changed so many seconds ago."""
    path = work / name
    if kind == "folder":
        (path / "ansible-tmp-1").mkdir(parents=True)
        (path / "ansible-tmp-1" / "AnsiballZ_command.py").touch()
    elif kind == "link":
        path.symlink_to(work / "victim")
    else:
        path.touch()
    os.chown(path, os.geteuid() if user is None else user, -1, follow_symlinks=False)
    os.utime(path, times=(time.time() - age,) * 2, follow_symlinks=False)
    return path


LETTERS = st.text(string.ascii_letters + string.digits, min_size=10, max_size=10)
NAMES = st.one_of(
    LETTERS.map(HERE.__add__),
    LETTERS.map(f"{HERE}2-".__add__),  # a host whose name begins with ours
    LETTERS.map("isobench-play-another-".__add__),
    LETTERS.map(f".{HERE}".__add__),
    st.integers(0, 9).map(lambda length: HERE + "x" * length),
    st.just(HERE + "*" * 10),
)
ENTRIES = st.dictionaries(
    NAMES,
    st.tuples(
        st.sampled_from(["folder", "folder", "link", "file"]),
        st.sampled_from([-HOUR, 0, HOUR - 300, HOUR + 1, 99 * HOUR]),
        st.sampled_from([None, None, STRANGER]),
    ),
    max_size=8,
)


@pytest.mark.root
@given(ENTRIES)
def test_only_dead_ones_of_this_user_and_host(entries: dict[str, tuple[str, float, int | None]]) -> None:
    """Whatever else there is stays as it was; other users' are named; a second time there is nothing to do."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        work = Path(folder)
        patch.setenv("ISOBENCH_WORK", folder)
        (work / "victim").mkdir()
        (work / "victim/file").touch()
        for name, (kind, age, user) in entries.items():
            made(work, name, kind=kind, age=age, user=user)
        idle = [
            name
            for name, (kind, age, _) in sorted(entries.items())
            if name.startswith(HERE) and name[len(HERE) :].isalnum() and len(name) == len(HERE) + 10
            if kind == "folder" and age > HOUR
        ]
        mine = [work / name for name in idle if entries[name][2] is None]
        theirs = leftovers.left_alone([name for name in idle if entries[name][2] is not None], work)
        before = sorted(work.rglob("*"))
        assert plays.clean(dry_run=True) == [*(f"would remove {path}" for path in mine), *theirs]
        assert sorted(work.rglob("*")) == before
        assert plays.clean() == [*(f"folder {path}" for path in mine), *theirs]
        assert sorted(work.rglob("*")) == [path for path in before if not {path, *path.parents} & set(mine)]
        assert plays.clean() == theirs


def test_what_a_process_names_lives(place: Path) -> None:
    """A task may take as long as it likes."""
    folder = made(place / "work", f"{HERE}0123456789")
    command = [sys.executable, "-c", "input()", f"TMPDIR={folder}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as task:
        wait_for(task.pid, folder.name)
        assert plays.clean() == [] and folder.exists()
        task.kill()
    assert plays.clean() == [f"folder {folder}"] and not folder.exists()


@pytest.mark.root
@pytest.mark.tool("setpriv")
def test_a_strangers_words_keep_nothing_alive(place: Path) -> None:
    """Anybody can read the names in a shared folder, and call a process so."""
    folder = made(place / "work", f"{HERE}0123456789")
    with subprocess.Popen([*AS_STRANGER, "sh", "-c", "read it", str(folder)], stdin=subprocess.PIPE) as his:
        while Path(f"/proc/{his.pid}").stat().st_uid != STRANGER:
            time.sleep(0.05)
        assert plays.clean() == [f"folder {folder}"]
        his.kill()


def test_links_inside_are_removed_as_links(place: Path) -> None:
    folder = made(place / "work", f"{HERE}0123456789")
    (place / "victim").mkdir()
    (place / "victim/file").touch()
    (folder / "link").symlink_to(place / "victim")
    os.utime(folder, (0, 0))
    assert plays.clean() == [f"folder {folder}"]
    assert (place / "victim/file").exists()


def test_where_others_can_replace_folders_nothing_is_touched(place: Path) -> None:
    """In a folder that all can write, and that is not sticky."""
    folder = made(place / "work", f"{HERE}0123456789")
    (place / "work").chmod(0o777)
    assert plays.clean() == [] and folder.exists()
    (place / "work").chmod(0o1777)
    assert plays.clean() == [f"folder {folder}"]


def wait_for(pid: int, word: str) -> None:
    """Until the process has become the program that was called."""
    while pid not in pids_with(word):
        time.sleep(0.05)
