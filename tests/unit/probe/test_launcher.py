"""What the launcher's Python side opens for an instance it closes, also where the instance does not start."""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from isobench.core.errors import MeasurementError
from isobench.probe import launcher


def descriptors() -> dict[str, str]:
    """The open descriptors of this process, and what each is; the one that lists them is gone by then, and so is what
    another test has left to be collected."""
    gc.collect()
    found = {}
    for number in os.listdir("/proc/self/fd"):
        link = Path("/proc/self/fd", number)
        if link.is_symlink():
            found[number] = str(link.readlink())
    return found


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is built here."""
    monkeypatch.setattr(launcher, "probe_path", lambda: Path("/bin/false"))


def test_a_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory for a fork: pipes and sockets are closed."""

    def fail(*args: object, **options: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", fail)
    before = descriptors()
    with pytest.raises(OSError, match="temporarily unavailable"), launcher.launched(["x"], timeout=60):
        pass
    assert descriptors() == before


@pytest.mark.parametrize("which", [0, 1, 2])
def test_too_many_open_files(monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    """One of the pipes cannot be had: those that could are closed."""
    pipe, asked = os.pipe, []

    def scarce() -> tuple[int, int]:
        asked.append(0)
        if len(asked) > which:
            raise OSError(24, "Too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", scarce)
    before = descriptors()
    with pytest.raises(OSError, match="Too many"), launcher.launched(["x"], timeout=60):
        pass
    assert descriptors() == before


@pytest.mark.parametrize(
    "start", [lambda: launcher.launched(["x"], timeout=60).__enter__(), lambda: launcher.NetnsWatch(60)]
)
def test_a_helper_that_ends_at_once(start: Any) -> None:
    """It says nothing, which is told; nothing stays open."""
    before = descriptors()
    with pytest.raises(MeasurementError, match="ended"):
        start()
    assert descriptors() == before
