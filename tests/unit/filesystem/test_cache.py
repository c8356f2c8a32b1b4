"""What is built is whole, is what was made, and is the only thing in the cache that is touched."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from isobench.core.errors import BuildError, UsageError
from isobench.filesystem import cache, paths
from isobench.filesystem.cache import cached, damage_of
from isobench.lifecycle import leftovers


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    tmp_path.chmod(0o755)
    for name in ("STATE", "WORK", "CACHE"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / name.lower()))
    return tmp_path / "cache"


def build(folder: Path) -> None:
    """A program, a folder, a link, a sparse file."""
    (folder / "program").write_bytes(b"program")
    (folder / "program").chmod(0o755)
    (folder / "inner").mkdir()
    (folder / "inner/link").symlink_to("../program")
    with (folder / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(5 << 20)
        file.write(b"end")
        file.truncate(100 << 20)


def built_again(kind: str = "thing") -> bool:
    """Whether what is asked for is built."""
    asked: list[Path] = []

    def noted(folder: Path) -> None:
        asked.append(folder)
        build(folder)

    cached(kind, "key", noted)
    return bool(asked)


def test_it_is_built_once(capsys: pytest.CaptureFixture[str]) -> None:
    """And checked without a word."""
    assert built_again() and not built_again()
    assert capsys.readouterr().err == ""


DAMAGES = {
    "emptied": ": > program",
    "cut off": "truncate -s 3 program",
    "a bit": "printf progran > program",
    "in a hole": "printf x | dd of=sparse bs=1M seek=50 conv=notrunc status=none",
    "shorter by zeros": "truncate -s 99M sparse",
    "mode": "chmod 644 program",
    "open to all": "chmod 777 program",
    "gone": "rm program",
    "more": ": > more",
    "another link": "ln -sfn /bin/sh inner/link",
    "a link for a file": "ln -sf /bin/sh program",
    "a fifo for a file": "rm program && mkfifo program",
    "no digest": "rm .digest",
    "empty digest": ": > .digest",
    "a fifo for the digest": "rm .digest && mkfifo .digest",
    "a link for the whole": "cd .. && mv thing-key elsewhere && ln -s elsewhere thing-key",
    "a link to nothing for the whole": "cd .. && mv thing-key elsewhere && ln -s nothing thing-key",
    "a file for the whole": "cd .. && mv thing-key elsewhere && : > thing-key",
}
"""What happened -> the shell's words for it, in the folder."""


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_damaged_is_built_again(place: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With one line that names it, and then it is whole."""
    assert built_again()
    made = place / "built/thing-key"
    subprocess.run(["sh", "-c", DAMAGES[what]], cwd=made, check=True)
    assert built_again()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{made} was damaged" in line and "rebuilt" in line
    assert damage_of(made) == "" and not built_again()
    assert (made / "program").read_bytes() == b"program" and not made.is_symlink()


@pytest.mark.root
def test_a_strangers_file_in_it_is_not_believed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though its content is right: he may change it in the next moment."""
    assert built_again()
    os.chown(place / "built/thing-key/program", 65534, 65534)
    assert built_again()
    assert "program belongs to user 65534" in capsys.readouterr().err


@pytest.mark.root
@pytest.mark.parametrize("where", [".", "built"])
def test_a_strangers_cache_is_refused(place: Path, where: str) -> None:
    """With whose it is and what to do, and nothing in it changes."""
    assert built_again()
    os.chown(place / where, 65534, 65534)
    with pytest.raises(UsageError, match="belongs to user 65534") as caught:
        built_again()
    assert "set ISOBENCH_CACHE" in caught.value.remedy or "folder of your own" in caught.value.remedy


def test_a_folder_that_is_not_ours_by_its_mark_is_refused(place: Path) -> None:
    """Somebody's own folder `built`, with his things in it."""
    (place / "built/thing-key").mkdir(parents=True)
    (place / "built/thing-key/program").write_text("his")
    for _ in range(2):
        with pytest.raises(UsageError, match="was not created by isobench"):
            built_again()
    assert (place / "built/thing-key/program").read_text() == "his"


def test_a_home_folder_as_cache_loses_nothing(place: Path) -> None:
    """Neither to building nor to `clean`; its mode stays."""
    place.chmod(0o1777)
    theirs = [place / name for name in (".config-important", ".oh-my-zsh", ".making-0123456789abcdef", "probe-x")]
    for folder in theirs:
        (folder / "inner").mkdir(parents=True)
        os.utime(folder, (0, 0))
    assert built_again()
    assert leftovers.clean(lambda run: []) == []
    assert all((folder / "inner").is_dir() for folder in theirs)
    assert stat.S_IMODE(place.stat().st_mode) == 0o1777


def test_what_is_half_made_without_locks_is_left_until_it_is_old(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has no locks its maker may live; after a day he does not."""

    def no_locks(descriptor: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    assert built_again() and not built_again()
    half = place / "built/.making-0123456789abcdef"
    half.mkdir()
    (half / ".lock").touch()
    assert list(cache.half_made()) == []
    os.utime(half, (0, 0))
    assert list(cache.half_made()) == [half]


def test_a_build_that_fails_leaves_the_damaged_one(place: Path) -> None:
    """It is taken away when the new one is whole, not before."""

    def fail(folder: Path) -> None:
        raise subprocess.SubprocessError

    assert built_again()
    (place / "built/thing-key/more").touch()
    with pytest.raises(subprocess.SubprocessError):
        cached("thing", "key", fail)
    assert (place / "built/thing-key/more").exists()
    assert sorted(path.name for path in (place / "built").iterdir()) == ["CACHEDIR.TAG", "thing-key"]


def test_others_of_a_kind_are_dropped(place: Path) -> None:
    """Those with another key, and no other kind's."""
    names = [f"{kind}-{digit * 16}" for kind, digit in (("disk", "1"), ("disk", "2"), ("disk-two", "1"))]
    for name in names:
        cached(name.rpartition("-")[0], name.rpartition("-")[2], build)
    cache.drop_others("disk", "2" * 16)
    assert [(place / "built" / name).exists() for name in names] == [False, True, True]


def test_a_trees_odd_files_are_nobodys_business_in_a_closed_folder(place: Path) -> None:
    """A Debian tree has folders in which everybody may write; only its owner gets there."""

    def tree(folder: Path) -> None:
        folder.chmod(0o700)
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)

    cached("tree", "key", tree)
    assert damage_of(place / "built/tree-key") == ""
    (place / "built/tree-key").chmod(0o755)
    assert damage_of(place / "built/tree-key") == "tmp can be written by others"


def large(folder: Path) -> None:
    """A file of 1 MiB."""
    (folder / "file").write_bytes(bytes(range(256)) * 4096)


def test_what_was_used_least_recently_goes_first(place: Path) -> None:
    """Until the rest is small enough; a kernel stays, and nothing but entries of isobench's is looked at."""
    for age, name in enumerate(("new", "middle", "old")):
        entry = cached("kind", name, large)
        os.utime(entry, (10**9 - age, 10**9 - age))
    kernel = cached("kernel", "1", build)
    os.utime(kernel, (1, 1))
    (place / "mine").mkdir()
    cached("kind", "old", build)  # used now
    assert cache.trim(1 << 40) == []
    would = cache.trim(2 << 20, dry_run=True)
    assert len(would) == 2 and all("would remove" in line for line in would)
    done = cache.trim(2 << 20)
    assert [line.split()[1].rpartition("/")[2] for line in done] == ["kind-middle", "kind-new"]
    assert "(1 MiB)" in done[0]
    assert {entry.name for entry in (place / "built").glob("k*")} == {"kernel-1", "kind-old"}
    assert (place / "mine").is_dir()
    cache.trim(0)
    assert {entry.name for entry in (place / "built").glob("k*")} == {"kernel-1"}


def test_a_full_disk_while_building_is_told() -> None:
    """With the disk that is full, and nothing stays."""

    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(BuildError, match=r"making the kind in .*cache: No space left on device"):
        cache.cached("kind", "key", build)
    assert [path.name for path in paths.cache_dir().glob("*/*")] == ["CACHEDIR.TAG"]
