"""A private daemon's state is one living session's; what a dead one left running is found and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.core.errors import Unavailable
from isobench.daemons.session import MARK, end_orphans, hold, orphans


def test_one_session_holds_a_state(tmp_path: Path) -> None:
    """A second is refused, in this process as in another; a dead one's hold is gone with it."""
    first = hold(tmp_path)
    with pytest.raises(Unavailable, match="another session"):
        hold(tmp_path)
    os.close(first)
    os.close(hold(tmp_path))
    with pytest.raises(FileNotFoundError):
        hold(tmp_path / "none")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"):
        hold(tmp_path / "link")


def test_orphans_are_ended(tmp_path: Path) -> None:
    """A daemon, its helper, and one that is deaf to SIGTERM; one of another state and the caller are left alone."""
    state, other = tmp_path / "docker", tmp_path / "docker2"
    deaf = f"import signal; signal.signal({int(signal.SIGTERM)}, signal.SIG_IGN); print(flush=True); signal.pause()"
    mine = [
        subprocess.Popen(["sh", "-c", "sleep 600 & wait"], env={MARK: str(state)}),
        subprocess.Popen([sys.executable, "-c", deaf], env={MARK: str(state)}, stdout=subprocess.PIPE),
    ]
    theirs = subprocess.Popen(["sleep", "600"], env={MARK: str(other)})
    try:
        assert mine[1].stdout is not None and mine[1].stdout.read(1) == b"\n"
        assert {process.pid for process in mine} <= set(orphans(state)) and theirs.pid not in orphans(state)
        said = end_orphans(state)
        assert len(said) >= 2 and all("of a dead session" in line for line in said)
        assert orphans(state) == [] and theirs.poll() is None and end_orphans(state) == []
    finally:
        for process in (*mine, theirs):
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
