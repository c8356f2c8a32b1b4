"""Files are whole or not there, on file systems that lack one operation or another."""

from __future__ import annotations

import errno
import gc
import os
import stat
from pathlib import Path

import pytest

from isobench.filesystem import files

REFUSED = [errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOENT, errno.EMLINK]


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int, *, folders_only: bool = False) -> None:
    """From now on this function of `os` or `fcntl` fails so."""
    module = "fcntl" if name == "flock" else "os"
    real = getattr(os, name, None)

    def fail(*arguments: object, **more: object) -> object:
        spared = folders_only and not stat.S_ISDIR(os.fstat(arguments[0]).st_mode)  # type: ignore[arg-type]
        if spared and real is not None:
            return real(*arguments, **more)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"{module}.{name}", fail)


def put(folder: Path, content: bytes = b"content") -> None:
    """A file in a folder in which nothing else may stay."""
    os.close(files.atomic_write(folder / "file", [content[:3], content[3:]]))
    assert (folder / "file").read_bytes() == content
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_it_replaces_what_was_there(tmp_path: Path) -> None:
    """With its mode."""
    put(tmp_path, b"first")
    put(tmp_path, b"second")
    os.close(files.atomic_write(tmp_path / "file", [b"third"], mode=0o600))
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize("number", REFUSED)
def test_where_a_nameless_file_cannot_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It is copied to one that has a name."""
    refuse(monkeypatch, "link", number)
    put(tmp_path, bytes(range(256)) * 5000)


def test_where_no_file_can_be_nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a name that nobody guesses until it is complete."""
    real = os.open

    def without(path: str, flags: int, *arguments: int, **more: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EISDIR, "Is a directory")
        return real(path, flags, *arguments, **more)

    monkeypatch.setattr("os.open", without)
    put(tmp_path)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS])
def test_where_nothing_can_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It is written all the same."""
    refuse(monkeypatch, "fsync", number)
    put(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_what_fails_to_be_synced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """And what was there before stays."""
    put(tmp_path, b"before")
    refuse(monkeypatch, "fsync", number)
    with pytest.raises(OSError, match=os.strerror(number)):
        files.atomic_write(tmp_path / "file", [b"after"])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_a_folder_that_cannot_be_synced_throws_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is whole and in its place by then."""
    refuse(monkeypatch, "fsync", errno.EIO, folders_only=True)
    put(tmp_path)


def test_no_descriptor_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever failed."""
    gc.collect()  # what another test has left
    before = len(os.listdir("/proc/self/fd"))
    for name, number in (("fsync", errno.EIO), ("link", errno.EPERM), ("flock", errno.ENOLCK)):
        with monkeypatch.context() as lacking:
            refuse(lacking, name, number)
            try:
                os.close(files.atomic_write(tmp_path / "file", [b"x"], lock=True))
            except OSError:
                assert name != "link"
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_is_had_once(tmp_path: Path) -> None:
    """And by the next when it is given back."""
    first = files.atomic_write(tmp_path / "file", [b"x"], lock=True)
    second = os.open(tmp_path / "file", os.O_RDWR)
    assert not files.try_lock(second)
    os.close(first)
    assert files.try_lock(second)
    os.close(second)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN])
def test_a_lock_that_is_another_kind_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Over NFS it is one of fcntl(2), which says in either way that somebody has it."""
    refuse(monkeypatch, "flock", number)
    with (tmp_path / "file").open("w") as file:
        assert not files.try_lock(file.fileno())


def test_the_end_of_a_file(tmp_path: Path) -> None:
    """Of a regular one, however long; not through a link, and without waiting."""
    (tmp_path / "long").write_bytes(b"x" * 100_000 + b"end\xff")
    (tmp_path / "link").symlink_to("long")
    os.mkfifo(tmp_path / "fifo")
    assert files.tail(tmp_path / "long", 5) == "xend\ufffd"
    assert [files.tail(tmp_path / name, 5) for name in ("link", "fifo", "absent", ".")] == [""] * 4
