"""The root file system: the same content is the same bytes, a link of it is one's own, and its fio is recorded."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.images import rootfs
from isobench.images.fio import host_fio
from isobench.processes import programs


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own, a probe of a few bytes, and no fio; the folder that is all of PATH."""
    probe, path = tmp_path / "probe", tmp_path / "bin"
    probe.write_bytes(b"probe")
    path.mkdir()
    monkeypatch.setattr(rootfs, "probe_path", lambda: probe)
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(programs, "_ALSO", ())
    monkeypatch.setenv("PATH", str(path))
    for cached in (rootfs.rootfs_path, host_fio):
        cached.cache_clear()
    yield path
    for cached in (rootfs.rootfs_path, host_fio):
        cached.cache_clear()


def test_the_same_content_is_the_same_archive(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made twice, in two caches, at two times: not a byte differs, and everything belongs to root."""
    first = rootfs.rootfs_tar()
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "other"))
    rootfs.rootfs_path.cache_clear()
    second = rootfs.rootfs_tar()
    assert first != second and first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        assert {(member.uid, member.gid, member.mtime) for member in archive} == {(0, 0, rootfs.MTIME)}
        assert {"probe", "data", "etc/passwd", "usr/bin"} <= set(archive.getnames())


def test_a_link_of_it_is_ones_own(small: Path, tmp_path: Path) -> None:
    """Files are shared with the cache, folders are not: what is made in them is nobody else's."""
    rootfs.link_rootfs(tmp_path / "root")
    assert (tmp_path / "root/probe").stat().st_ino == (rootfs.rootfs_path() / "probe").stat().st_ino
    (tmp_path / "root/data/mine").write_text("")
    assert list((rootfs.rootfs_path() / "data").iterdir()) == []
    assert all(not path.stat().st_mode & 0o022 for path in (tmp_path / "root").rglob("*") if path.name != "mine")


def test_the_fio_inside_is_recorded(small: Path) -> None:
    """Without one the root file system is made without, and that is recorded."""
    assert not (rootfs.rootfs_path() / "usr/bin/fio").exists()
    assert "no fio" in rootfs.fio_fact()["without.fio"]
