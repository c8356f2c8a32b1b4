"""Where things are, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.core.errors import Unavailable, UsageError
from isobench.core.text import NOT_UTF8
from isobench.filesystem import paths

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
TOLD = "from isobench.filesystem.paths import *; print(cache_dir(), state_dir(), work_root())"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder that belongs to nobody."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 65534, 65534)
    return tmp_path / "home"


def told(home: Path, **environ: str) -> str:
    """The folders that an ordinary user has."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ISOBENCH_", "XDG_"))}
    command = [*AS_NOBODY, sys.executable, "-c", TOLD]
    kept["PYTHONPATH"] = str(Path(__file__).parents[3])
    done = subprocess.run(command, env={**kept, "HOME": str(home), **environ}, cwd=home, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.root
@pytest.mark.tool("setpriv")
@pytest.mark.parametrize("value", ["", "relative"])
def test_what_is_empty_counts_as_unset(home: Path, value: str) -> None:
    """As the XDG specification has it, which has relative ones ignored as well."""
    empty = dict.fromkeys(("XDG_CACHE_HOME", "XDG_RUNTIME_DIR"), value)
    empty |= dict.fromkeys(("ISOBENCH_CACHE", "ISOBENCH_STATE", "ISOBENCH_WORK"), "")
    assert told(home, **empty) == f"{home}/.cache/isobench {home}/.local/state/isobench /var/tmp"
    assert sorted(path.name for path in home.iterdir()) == [".cache", ".local"]


@pytest.mark.root
@pytest.mark.tool("setpriv")
def test_xdg_folders_are_used(home: Path) -> None:
    """Where they are told."""
    given = {"XDG_CACHE_HOME": f"{home}/c", "XDG_RUNTIME_DIR": f"{home}/r"}
    assert told(home, **given) == f"{home}/c/isobench {home}/r/isobench /var/tmp"


@pytest.mark.root
@pytest.mark.tool("setpriv")
def test_an_empty_home_is_the_users_own(home: Path) -> None:
    """Which nobody has not got: it is told, and nothing is made in / or here."""
    assert "UsageError: cannot use " in told(home, HOME="")
    assert list(home.iterdir()) == [] and not Path("/.cache/isobench").exists()


def test_relative_folders_are_of_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stay the same when the working folder is another."""
    monkeypatch.chdir(tmp_path)
    for name in ("CACHE", "STATE", "WORK"):
        monkeypatch.setenv(f"ISOBENCH_{name}", name)
    found = [paths.cache_dir(), paths.state_dir(), paths.work_root()]
    assert found == [tmp_path.resolve() / name for name in ("CACHE", "STATE", "WORK")]


def test_a_file_in_the_place_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told with the variable that names it."""
    (tmp_path / "file").touch()
    for name, ask in (("CACHE", paths.cache_dir), ("STATE", paths.state_dir), ("WORK", paths.work_root)):
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / "file"))
        with pytest.raises(UsageError, match="not a folder") as caught:
            ask()
        assert f"ISOBENCH_{name}" in caught.value.remedy


def test_a_path_too_long_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leads through a link in the state folder; where that is long, too, it is told."""
    run = "isobench-20260101T000000Z-abcdef"
    for name, folder in (("STATE", "s"), ("WORK", "w" * 100)):
        (tmp_path / folder / run).mkdir(parents=True)
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / folder))
    long = paths.work_root() / run / "serial"
    short = paths.short(long)
    assert len(str(short)) <= 107 and short.parent.resolve() == long.parent
    assert paths.short(long) == short
    assert paths.short(Path("/run/serial")) == Path("/run/serial")
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / ("s" * 100)))
    with pytest.raises(Unavailable, match="too long for a socket"):
        paths.short(long)


@pytest.mark.root
def test_where_no_program_may_be_run(tmp_path: Path) -> None:
    """It is told with the variable that names another place."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "none", str(tmp_path)], check=True)
    try:
        with pytest.raises(Unavailable, match="noexec") as caught:
            paths.check_may_run(tmp_path, "ISOBENCH_WORK")
        assert "ISOBENCH_WORK" in caught.value.remedy
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("name", "refused", "told"),
    [(b"l\xe9", NOT_UTF8, "the byte 0xe9"), (b"a:b", "[:,]", "':'"), ("ü".encode(), r"[^\x00-\x7f]", "'ü'")],
)
def test_a_name_that_a_program_cannot_be_given(name: bytes, refused: str, told: str) -> None:
    """It is told which letter, and which variable names another place."""
    with pytest.raises(Unavailable, match=told) as caught:
        paths.check_name(Path("/tmp") / os.fsdecode(name), "Podman", refused, "ISOBENCH_WORK")
    assert "ISOBENCH_WORK" in caught.value.remedy
    paths.check_name(Path("/tmp/a b'c\"ü"), "runc", NOT_UTF8, "ISOBENCH_WORK")
