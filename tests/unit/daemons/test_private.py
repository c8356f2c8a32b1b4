"""Private daemons of a session that is over: what a dead run had in them is no reason to remember it for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isobench.daemons import private, session
from isobench.filesystem import paths
from isobench.lifecycle import leftovers, workspace
from isobench.planning.catalog import sweep

NAME = "isobench-20260101T000000Z-abcdef"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STATE", "WORK", "CACHE"):
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / name.lower()))
    for name in ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI"):
        monkeypatch.delenv(name, raising=False)
    paths.state_dir()
    return tmp_path


def dead_run_in(engines: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """It had opened an environment of each engine. Gives its folder."""
    with monkeypatch.context() as patch:
        for name, value in engines.items():
            patch.setenv(name, value)
        record = workspace._record(NAME)
    work = paths.work_root() / NAME
    for part in ("docker-1", "tcg-1", "containerd-1"):
        (work / part).mkdir(parents=True)
    with workspace._claim(work / "run.json", record), workspace._claim(paths.state_dir() / f"{NAME}.json", record):
        pass
    return work


@pytest.mark.root
@pytest.mark.parametrize("left", ["all", "nothing"])
def test_a_dead_run_in_dead_daemons_is_cleaned(folder: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    """Nobody will ever answer there again; what the Docker kept goes, for the run's things are among it."""
    state = private.daemon_state()
    if left == "all":
        for name in ("docker", "libvirt"):
            session.made(state / name)
        (state / "docker/data/image").mkdir(parents=True)
    work = dead_run_in(private.addresses(), monkeypatch)
    done = leftovers.clean(sweep)
    assert not [line for line in done if line.startswith(leftovers.NOT_CLEANED)], done
    assert not work.exists() and leftovers.dead_runs() == []
    assert not (state / "docker/data").exists()


@pytest.mark.root
def test_a_living_sessions_daemon_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not answer yet, or no more: what it keeps is its session's, and the run is kept in mind."""
    state = private.daemon_state()
    for name in ("docker", "libvirt"):
        session.made(state / name)
    (state / "docker/data/image").mkdir(parents=True)
    work = dead_run_in(private.addresses(), monkeypatch)
    held = [session.hold(state / name) for name in ("docker", "libvirt")]
    try:
        done = leftovers.clean(sweep)
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert [line for line in done if line.startswith(leftovers.NOT_CLEANED)]
    assert work.exists() and (state / "docker/data/image").exists()
