"""Root file systems of Debian packages, with a false mmdebstrap: what it is asked, and what is said if it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.core.errors import BuildError, Unavailable
from isobench.filesystem.cache import half_made
from isobench.images import debian
from isobench.images.debian import debian_tree
from isobench.processes import programs

MAKES = """#!/bin/sh
echo "$TMPDIR $SOURCE_DATE_EPOCH $*" >> {log}
for word; do case "$word" in *.tar) echo tree > "$word" ;; esac; done
"""


@pytest.fixture
def mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its script, which makes a file of a few bytes; a cache of this test's own."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "CONTAINED", ())
    monkeypatch.setattr(debian, "ENDS_WITH_US", ())
    return _script(tmp_path / "bin/mmdebstrap", MAKES.replace("{log}", str(tmp_path / "log")))


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_it_is_made_once_for_a_set_of_packages(mmdebstrap: Path, tmp_path: Path) -> None:
    """In any order and however often one is named; reproducibly, and with its own temporary files in the cache."""
    first = debian_tree(["b", "a", "b"])
    assert debian_tree(["a", "b"]) == first and first.read_text() == "tree\n"
    assert debian_tree(["a"]) != first
    line, _ = (tmp_path / "log").read_text().splitlines()
    assert "--include=a,b" in line and f" {debian.RELEASE} " in line
    folder, epoch, *_ = line.split()
    assert Path(folder).is_relative_to(tmp_path / "cache") and epoch == "1700000000"


@pytest.mark.parametrize(
    ("said", "reason", "remedy"),
    [
        ("E: Unable to locate package nosuch", "Unable to locate package nosuch", "packages.debian.org"),
        ("E: Could not resolve 'deb.debian.org'\nE: mmdebstrap failed to run", "Could not resolve", "reach a mirror"),
        ("something odd", "something odd", ""),
        ("", "mmdebstrap failed", ""),
    ],
)
def test_a_failure_is_one_line(mmdebstrap: Path, said: str, reason: str, remedy: str) -> None:
    """apt's own words, what may help, and nothing half made."""
    _script(mmdebstrap, f'#!/bin/sh\necho part > $TMPDIR/part\necho "{said}" >&2\nexit 25\n')
    with pytest.raises(BuildError, match=reason) as error:
        debian_tree(["nosuch"])
    assert error.value.reason.startswith("no root file system of nosuch: ") and remedy in error.value.remedy
    assert list(half_made()) == [] and not [*Path(os.environ["ISOBENCH_CACHE"]).glob("built/*nosuch*")]
    assert [entry.name for entry in Path(os.environ["ISOBENCH_CACHE"], "built").iterdir()] == ["CACHEDIR.TAG"]


def test_without_mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is what installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_ALSO", ())
    with pytest.raises(Unavailable, match="not installed") as error:
        debian_tree(["a"])
    assert "isobench provision" in error.value.remedy


LEAVES = """#!/bin/sh
[ ! -d /run/user ] || mkdir -p /run/user/0/gnupg/d.1
for word; do case "$word" in *.tar) echo tree > "$word" ;; esac; done
"""
BUILD = "from isobench.images.debian import debian_tree; print(debian_tree(['a']).read_text(), end='')"


@pytest.mark.root
@pytest.mark.parametrize("before", ["/run/user/0", ""], ids=["with a session", "without systemd"])
def test_gpgs_folders_do_not_stay(tmp_path: Path, before: str) -> None:
    """GPG makes one for each build if there is a /run/user, and nothing removes it. In a /run of this test's own, in
    which mount(8) makes a folder, too."""
    (tmp_path / "bin").mkdir()
    _script(tmp_path / "bin/mmdebstrap", LEAVES)
    environ = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "ISOBENCH_CACHE": str(tmp_path / "cache")}
    left = "find /run -path /run/mount -prune -o -print"
    script = f'mount -t tmpfs run /run && mkdir -p /run $1 && "$2" -c "$3" && {left}'
    words = ("unshare", "--mount", "sh", "-c", script, "sh", before, sys.executable, BUILD)
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["tree", "/run", *(["/run/user", "/run/user/0"] if before else [])]
