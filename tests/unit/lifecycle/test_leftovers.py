"""What marks a run as dead, what is swept then, and what is left alone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from isobench.filesystem import cache, mounts
from isobench.lifecycle import leftovers
from tests.unit.lifecycle.made import NAME, nothing


def test_a_pid_that_is_anothers_by_now_keeps_nothing_alive(place: Path) -> None:
    """A dead run's state file with the pid of a living process."""
    (place / "state" / f"{NAME}.json").write_text(json.dumps({"name": NAME, "pid": os.getpid(), "engines": {}}))
    assert leftovers.dead_runs() == [NAME]
    leftovers.clean(nothing)
    assert leftovers.dead_runs() == []


def test_what_cannot_be_cleaned_now_is_kept_in_mind(place: Path) -> None:
    """An engine that is down: folder and state file stay until it has been asked."""
    (place / "state" / f"{NAME}.json").write_text("{}")
    (place / "work" / NAME / "docker").mkdir(parents=True)
    assert leftovers.clean(lambda run: ["not cleaned: no engine"]) == ["not cleaned: no engine"]
    assert (place / "work" / NAME).exists() and leftovers.dead_runs() == [NAME]
    assert leftovers.clean(nothing) == [f"folder {place / 'work' / NAME}"]
    assert leftovers.dead_runs() == []


@pytest.mark.parametrize("name", ["isobench-x", f"{NAME}0", f"x{NAME}", NAME[:-1], "isobench-20260101T000000Z-ABCDEF"])
def test_similar_names_are_nobodys_business(place: Path, name: str) -> None:
    """A folder with a state file that no run can have written."""
    (place / "work" / name).mkdir()
    (place / "work" / name / "run.json").write_text("{}")
    (place / "state" / f"{name}.json").write_text("{}")
    assert leftovers.clean(nothing) == []
    assert (place / "work" / name / "run.json").exists()


def test_what_a_dead_process_was_making_is_removed(place: Path) -> None:
    """A folder of the cache that is held by nobody; one that is being made is not touched."""
    cache.cached("another", "key", lambda folder: None)
    dead = place / "cache/built/.making-0123456789abcdef"
    dead.mkdir()
    (dead / ".lock").touch()

    def build(folder: Path) -> None:
        assert leftovers.clean(nothing) == [f"folder {dead}"]
        assert folder.exists() and not dead.exists()

    assert cache.cached("kind", "key", build).exists()


@pytest.mark.root
def test_what_is_still_mounted_is_not_descended_into(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that cannot be taken away may hold what is not ours: it is told, and the next `clean` tries again."""
    mounted = place / "work" / NAME / "process" / "data"
    mounted.mkdir(parents=True)
    (place / "state" / f"{NAME}.json").write_text("{}")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(mounted)], check=True)
    try:
        (mounted / "somebodys").touch()
        with monkeypatch.context() as without:
            without.setattr(mounts, "_unmount", lambda point: None)
            assert leftovers.clean(nothing) == [f"not cleaned: {mounted} is still mounted"]
        assert (mounted / "somebodys").exists() and leftovers.dead_runs() == [NAME]
        assert leftovers.clean(nothing) == [f"unmounted {mounted}", f"folder {place / 'work' / NAME}"]
        assert not mounted.exists() and leftovers.dead_runs() == []
    finally:
        subprocess.run(["umount", str(mounted)], check=False, capture_output=True)


def test_what_would_be_cleaned_is_only_said(place: Path) -> None:
    (place / "state" / f"{NAME}.json").write_text("{}")
    assert leftovers.clean(nothing, dry_run=True) == [f"would clean {NAME}"]
    assert leftovers.dead_runs() == [NAME]


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "7"])
def test_a_state_file_that_was_cut_off_is_a_dead_runs(place: Path, text: str) -> None:
    """Its machine went down while it was written: what carries the run's name is removed all the same."""
    (place / "state" / f"{NAME}.json").write_text(text)
    (place / "work" / NAME).mkdir()
    assert leftovers.clean(nothing) == [f"folder {place / 'work' / NAME}"]
    assert leftovers.dead_runs() == []


def test_a_run_that_cannot_be_asked_whether_it_lives_is_left_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without locks it may be alive, unless its other file says that it is dead."""

    def no_locks(descriptor: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    (place / "state" / f"{NAME}.json").write_text("{}")
    monkeypatch.setattr("isobench.lifecycle.leftovers.try_lock", no_locks)
    assert leftovers.dead_runs() == [] and leftovers.clean(nothing) == []
