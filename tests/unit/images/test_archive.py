"""The archive of a workload: the same content is the same bytes, and what is unpacked is fresh for each instance."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from isobench.core.errors import BuildError
from isobench.images import archive
from isobench.images.archive import Unpacked, archive_of, identity


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, Path]:
    """A program and a file, a probe of a few bytes, a cache of its own."""
    for name in ("probe", "program", "text"):
        (tmp_path / name).write_text(name)
    (tmp_path / "program").chmod(0o700)
    monkeypatch.setattr(archive, "probe_path", lambda: tmp_path / "probe")
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    return {Path("opt/bin/program"): tmp_path / "program", Path("tmp/text"): tmp_path / "text"}


LINKS = {Path("usr/bin/other"): "/opt/bin/program"}


def test_the_same_content_is_the_same_archive(
    files: dict[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two caches, at two times: not a byte differs, everything is root's, and modes are those of any file."""
    first = archive_of(files, LINKS)
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "other"))
    os.utime(tmp_path / "text", (1, 1))
    second = archive_of(files, LINKS)
    assert first != second and first.read_bytes() == second.read_bytes() and identity(first) == identity(second)
    with tarfile.open(first) as packed:
        modes = {member.name: member.mode for member in packed}
        assert {(member.uid, member.gid) for member in packed} == {(0, 0)}
    assert (modes["opt/bin/program"], modes["tmp/text"], modes["tmp"], modes["opt"]) == (0o755, 0o644, 0o1777, 0o755)
    assert {"probe", "data", "proc", "etc/passwd", "usr/bin/other"} <= modes.keys()


def test_other_content_is_another_archive(files: dict[Path, Path], tmp_path: Path) -> None:
    """Content, mode, place and links all count."""
    found = [archive_of(files, LINKS), archive_of(files, {})]
    (tmp_path / "text").chmod(0o755)
    found.append(archive_of(files, LINKS))
    (tmp_path / "text").write_text("other")
    found.append(archive_of(files, LINKS))
    found.append(archive_of({**files, Path("more"): tmp_path / "text"}, LINKS))
    assert len(set(map(identity, found))) == len(found)


def test_what_an_instance_wrote_is_not_there_for_the_next(files: dict[Path, Path], tmp_path: Path) -> None:
    """In the folders that are fresh; others are kept, and so is what belongs there."""
    furnished: list[Path] = []
    unpacked = Unpacked(tmp_path, furnished.append)
    packed = archive_of(files, LINKS)
    root = unpacked.fresh(packed)
    assert (root / "usr/bin/other").readlink() == Path("/opt/bin/program")
    assert not root.parent.stat().st_mode & 0o077
    for name in ("data", "run", "tmp", "var"):
        (root / name / "mine").mkdir()
    (root / "tmp/text").unlink()
    assert unpacked.fresh(packed) == root
    assert [name for name in ("data", "run", "tmp", "var") if (root / name / "mine").exists()] == ["var"]
    assert (root / "tmp/text").read_text() == "text" and (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert furnished == [root]


def test_half_an_unpacked_one_is_begun_again(
    files: dict[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a disk was full for a while."""
    unpacked, packed = Unpacked(tmp_path), archive_of(files, LINKS)

    def fail(*words: object) -> str:
        raise OSError("no room")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no room"):
        patched.setattr(archive, "output", fail)
        unpacked.fresh(packed)
    assert (unpacked.fresh(packed) / "probe").read_text() == "probe"


def test_files_on_top_of_another_archive(files: dict[Path, Path], tmp_path: Path) -> None:
    """Its owners, modes, links and times stay; its devices and what it has of the host do not; links are followed."""
    base = tmp_path / "base.tar"
    with tarfile.open(base, "w") as packed:
        for name, kind, text in (
            ("./usr/bin/tool", tarfile.REGTYPE, "tool"),
            ("./usr/bin/same", tarfile.LNKTYPE, "./usr/bin/tool"),
            ("./bin", tarfile.SYMTYPE, "usr/bin"),
            ("./dev", tarfile.DIRTYPE, ""),
            ("./dev/null", tarfile.CHRTYPE, ""),
            ("./etc/hostname", tarfile.REGTYPE, "host"),
            ("./etc/passwd", tarfile.REGTYPE, "its own"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.uid, info.mode, info.mtime = kind, 101, 0o4755, 7
            info.linkname = text if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE) else ""
            info.size = len(text) if kind == tarfile.REGTYPE else 0
            packed.addfile(info, io.BytesIO(text.encode()) if info.size else None)
    made = archive_of({**files, Path("bin/new"): tmp_path / "program"}, LINKS, base)
    with tarfile.open(made) as packed:
        entries = {member.name: member for member in packed}
        texts = {name: packed.extractfile(name).read().decode() for name in ("etc/hostname", "etc/passwd", "probe")}  # type: ignore[union-attr]
    tool = entries["usr/bin/tool"]
    assert (tool.uid, tool.mode, tool.mtime) == (101, 0o4755, 7)
    assert entries["usr/bin/same"].linkname == "usr/bin/tool" and entries["bin"].linkname == "usr/bin"
    assert texts == {"etc/hostname": "isobench\n", "etc/passwd": "its own", "probe": "probe"}
    assert "usr/bin/new" in entries and "bin/new" not in entries and "dev/null" not in entries
    assert len(entries) == len(set(entries))
    root = Unpacked(tmp_path).fresh(made)
    assert (root / "bin/new").read_text() == "program" and (root / "bin/same").read_text() == "tool"
    base.write_bytes(base.read_bytes() + bytes(10240))
    assert archive_of({**files, Path("bin/new"): tmp_path / "program"}, LINKS, base) != made


@pytest.mark.parametrize("name", ["data", "dev", "etc", "mnt", "proc", "run", "sys", "tmp"])
def test_what_is_mounted_on_is_a_folder(files: dict[Path, Path], tmp_path: Path, name: str) -> None:
    """/proc of an image that was a link to /etc was mounted over the host's; so was one in a workload's folder."""
    victim = tmp_path / "victim"
    victim.mkdir()
    base = tmp_path / "base.tar"
    with tarfile.open(base, "w") as packed:
        info = tarfile.TarInfo(f"./{name}")
        info.type, info.linkname = tarfile.SYMTYPE, str(victim)
        packed.addfile(info)
    for made in (archive_of(files, LINKS, base), archive_of(files, {Path(name): str(victim)})):
        folder = Unpacked(tmp_path).fresh(made) / name
        assert folder.is_dir() and not folder.is_symlink()
    assert list(victim.iterdir()) == []


def test_a_link_of_an_image_leads_nowhere_above_its_root(files: dict[Path, Path], tmp_path: Path) -> None:
    """A file of ours below it is inside."""
    base = tmp_path / "base.tar"
    with tarfile.open(base, "w") as packed:
        info = tarfile.TarInfo("opt")
        info.type, info.linkname = tarfile.SYMTYPE, "../../elsewhere"
        packed.addfile(info)
    with tarfile.open(archive_of(files, {}, base)) as packed:
        assert "elsewhere/bin/program" in packed.getnames()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("probe", tarfile.DIRTYPE, "the image has a folder /probe"),
        ("etc/hosts", tarfile.DIRTYPE, "the image has a folder /etc/hosts"),
        ("usr", tarfile.REGTYPE, "the image's /usr is not a folder"),
    ],
)
def test_what_cannot_be_laid_over_an_image_is_told(
    files: dict[Path, Path], tmp_path: Path, name: str, kind: bytes, said: str
) -> None:
    """Before it is unpacked, where tar would say that a file exists."""
    base = tmp_path / "base.tar"
    with tarfile.open(base, "w") as packed:
        info = tarfile.TarInfo(name)
        info.type = kind
        packed.addfile(info)
    with pytest.raises(BuildError, match=said):
        archive_of(files, LINKS, base)
