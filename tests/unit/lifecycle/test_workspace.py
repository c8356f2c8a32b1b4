"""What a run writes down before it makes anything, and what it takes away at its end, whatever interrupts it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from isobench.core.errors import UsageError
from isobench.filesystem import paths
from isobench.filesystem.files import atomic_write
from isobench.lifecycle import leftovers
from isobench.lifecycle.workspace import new_run_id, workspace
from tests.unit.lifecycle.made import NAME, nothing


def test_a_living_run_is_not_dead_and_loses_nothing() -> None:
    """Neither to `clean` nor to the list of dead runs, although another process looks."""
    with workspace(new_run_id()) as workdir:
        code = "from isobench.lifecycle import leftovers; print(leftovers.dead_runs(), leftovers.clean(lambda run: []))"
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert asked.stdout == "[] []\n" and (workdir / "run.json").exists()
    assert not workdir.exists() and list(paths.state_dir().glob("isobench-*")) == []


def test_a_run_of_this_process_is_alive_too() -> None:
    with workspace(new_run_id()) as workdir:
        assert leftovers.dead_runs() == [] and leftovers.clean(nothing) == []
        assert workdir.exists()


def test_the_state_file_is_there_before_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is made is written down first; one who can read it reads all of it."""
    seen: list[str] = []

    def look(workdir: Path) -> Path:
        seen.extend(json.loads(file.read_text())["name"] for file in paths.state_dir().glob("isobench-*.json"))
        workdir.mkdir()
        return workdir

    monkeypatch.setattr("isobench.lifecycle.workspace._make", look)
    with workspace("20260101T000000Z-abcdef"):
        assert seen == [NAME]


def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    """The first one interrupts; those that follow soon are for an impatient user."""
    swept: list[str] = []

    def slowly(run: str) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        swept.append(run)
        return []

    with pytest.raises(KeyboardInterrupt), workspace("20260101T000000Z-abcdef", slowly):
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(1)
    assert swept == [NAME] and leftovers.dead_runs() == []


def test_a_first_signal_does_not_disturb_the_cleaning_up() -> None:
    """Where nothing has gone wrong before: it is heeded when all is taken away; so is one that came before the work."""
    swept: list[str] = []

    def slowly(run: str) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        swept.append(run)
        return []

    worked = False
    with pytest.raises(KeyboardInterrupt), workspace("20260101T000000Z-abcdef", slowly):
        worked = True
    assert worked and swept == [NAME] and leftovers.dead_runs() == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_work_folder_whose_name_is_not_text(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run's processes are found by their folder, and everything is removed."""
    odd = Path(os.fsdecode(os.fsencode(place / "work") + b"\xff"))
    monkeypatch.setenv("ISOBENCH_WORK", str(odd))
    odd.mkdir()
    with workspace(new_run_id()) as workdir:
        shutil.copy("/bin/sleep", workdir / "probe")
        left = subprocess.Popen([str(workdir / "probe"), "600"])
    assert left.wait(60) == -signal.SIGKILL and not workdir.exists()


@pytest.mark.parametrize("kept", ["work", "state"])
def test_only_the_state_folder_must_have_locks(kept: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose state file is not locked would be taken for a dead one by the next."""

    def without_locks(target: Path, parts: Any, *, mode: int = 0o644, lock: bool = False) -> int:
        if lock and place / kept in target.parents:
            raise OSError(errno.ENOLCK, "No locks available")
        return atomic_write(target, parts, mode=mode, lock=lock)

    monkeypatch.setattr("isobench.lifecycle.workspace.atomic_write", without_locks)
    if kept == "work":
        with workspace(new_run_id()) as workdir:
            assert (workdir / "run.json").exists() and leftovers.dead_runs() == []
        assert not workdir.exists()
    else:
        with pytest.raises(UsageError, match=r"cannot keep .*: No locks available"), workspace("x"):
            pass
    assert list(paths.state_dir().glob("isobench-*")) == []


def test_a_work_folder_that_cannot_be_made_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the state file goes again."""

    mkdir = Path.mkdir

    def full(path: Path, *words: Any, **more: Any) -> None:
        if path.parent == place / "work":
            raise OSError(errno.ENOSPC, "No space left on device")
        mkdir(path, *words, **more)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UsageError, match=r"cannot work in .*: No space left") as told, workspace("x"):
        pass
    assert told.value.remedy == "set ISOBENCH_WORK"
    assert list((place / "state").glob("isobench-*")) == []
