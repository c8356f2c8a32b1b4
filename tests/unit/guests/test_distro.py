"""The stock Debian image, with a false mmdebstrap."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

import pytest

from isobench.guests import distro

HANGS = """#!/bin/sh
for word; do case "$word" in */tree) tree=$word ;; esac; done
mkdir -p "$tree/sys"
mount -t tmpfs none "$tree/sys"
exec 9> {lock}
flock 9
touch {begun}
sleep 1000
"""


def _free(file: TextIO) -> bool:
    """Whether nobody has the lock, or within a tenth of a second."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        return False
    return True


@pytest.mark.root
def test_a_killed_build_leaves_neither_processes_nor_mounts(tmp_path: Path) -> None:
    """mmdebstrap's children go on otherwise, and what they have mounted cannot be removed."""
    (tmp_path / "bin").mkdir()
    script, lock, begun = tmp_path / "bin/mmdebstrap", tmp_path / "lock", tmp_path / "begun"
    script.write_text(HANGS.format(lock=lock, begun=begun))
    script.chmod(0o755)
    environ = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "ISOBENCH_CACHE": str(tmp_path / "cache")}
    words = (sys.executable, "-c", "from isobench.guests.distro import distro_image; distro_image()")
    with subprocess.Popen(words, env=environ) as build:
        while not begun.exists():
            assert build.poll() is None
            time.sleep(0.05)
        build.kill()
    with lock.open("w") as file:
        assert any(map(_free, [file] * 600))
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize(
    ("release", "mirrors"), [("ID=debian\n", ["http://here/debian"]), ("ID=ubuntu\nID_LIKE=debian\n", [])]
)
def test_debian_alone_is_made_from_the_hosts_mirror_of_debian(
    release: str, mirrors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Ubuntu an address that ends so is somebody's packages, which have no release of Ubuntu's."""
    monkeypatch.setattr(distro, "_release", lambda: f"NAME=x\n{release}")
    monkeypatch.setattr(distro, "mirror", lambda: ["http://here/debian"])
    assert distro._mirror() == mirrors
