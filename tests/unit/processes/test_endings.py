"""Processes are ended for what they are, never for a name that they only mention."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from isobench.processes.endings import has_variable, kill_all


def test_a_process_is_known_by_a_whole_variable(tmp_path: Path) -> None:
    """Not by a part of one, nor by a word, nor by a line within another variable."""
    mark = f"X={tmp_path}"
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    others = ({"X": f"{tmp_path}1"}, {"XX": str(tmp_path)}, {"Y": f"\n{mark}"})
    started = [subprocess.Popen(waits, env=x, stdin=subprocess.PIPE) for x in ({"X": str(tmp_path)}, *others)]
    started.append(subprocess.Popen([*waits, mark], env={}, stdin=subprocess.PIPE))
    try:
        assert kill_all(lambda pid: has_variable(pid, mark)) == [started[0].pid]
        assert started[0].wait() == -signal.SIGKILL
        assert [process.poll() for process in started[1:]] == [None] * (len(started) - 1)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_what_cannot_be_told_is_left_alone() -> None:
    """An error while a process is looked at, because it has just ended or hides something, is no yes."""

    def looks(pid: int) -> bool:
        raise PermissionError

    assert kill_all(looks) == []


def test_what_is_not_there_at_the_first_look_is_found(tmp_path: Path) -> None:
    """Neither a process whose environment could not be read yet, nor one that is started meanwhile, is missed."""
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as late, contextlib.ExitStack() as ends:
        looks = {late.pid: 0}

        def is_wanted(pid: int) -> bool:
            if pid not in looks:
                return False
            looks[pid] += 1
            if looks[pid] == 2 and pid == late.pid:
                looks[ends.enter_context(subprocess.Popen(waits, stdin=subprocess.PIPE)).pid] = 0
            return looks[pid] > 1

        assert kill_all(is_wanted) == list(looks)
        assert len(looks) == 2
