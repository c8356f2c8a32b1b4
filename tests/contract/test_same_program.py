"""The probe does the same wherever it is started: what is mounted there decides nothing of its start."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from isobench.probe.build import probe_path

pytestmark = pytest.mark.root


def test_the_start_does_not_look_at_proc(tmp_path: Path) -> None:
    """With a /proc, the C library's look at it would make freeing the process dearer than in a root without one."""
    shutil.copy(probe_path(), tmp_path / "probe")
    exe = tmp_path / "proc" / "self" / "exe"
    exe.parent.mkdir(parents=True)
    exe.symlink_to("/probe")
    untouched = exe.lstat().st_atime_ns
    said = subprocess.run(["/probe", "ready"], preexec_fn=lambda: os.chroot(tmp_path), input=b"\n", capture_output=True)
    assert said.stdout == b"ready\n"
    assert exe.lstat().st_atime_ns == untouched
    exe.readlink()
    assert exe.lstat().st_atime_ns > untouched, "this file system does not keep when a link was read"
