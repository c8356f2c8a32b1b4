"""A failure is blamed on memory where the kernel has killed meanwhile, and nowhere else."""

from __future__ import annotations

import os

import pytest

from isobench.core.errors import DeadlineExceeded, MeasurementError, OutOfMemory, StoppedShort
from isobench.resources import oom


def test_the_failure_is_told_with_the_kernels_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with what was said before it; a failure that was not looked at before has no limit to tell."""
    count = iter((3, 4))
    monkeypatch.setattr(oom, "kills", lambda: next(count))
    with pytest.raises(OutOfMemory) as failed, oom.MemoryWatch():
        raise MeasurementError("status 137", console="last words")
    assert failed.value.reason == "OOM-killed: status 137" and failed.value.console == "last words"


def test_a_broken_pipe_is_a_sign_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was killed does not read what it is told."""
    count = iter((0, 1))
    monkeypatch.setattr(oom, "kills", lambda: next(count))
    monkeypatch.setattr(oom, "memory_limit", lambda pid: 8 << 20)
    words = r"^OOM-killed \(the container's limit is 8 MiB\): .*Broken pipe$"
    with pytest.raises(OutOfMemory, match=words), oom.MemoryWatch() as memory:
        memory.look_at(os.getpid())
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("error", [StoppedShort("the host is full", {}), OutOfMemory("said by the engine")])
def test_what_has_its_reason_keeps_it(monkeypatch: pytest.MonkeyPatch, error: MeasurementError) -> None:
    """Values that were measured are not lost; what the mechanism says is better than a count."""
    count = iter((0, 1))
    monkeypatch.setattr(oom, "kills", lambda: next(count))
    with pytest.raises(MeasurementError) as failed, oom.MemoryWatch():
        raise error
    assert failed.value is error


def test_what_does_not_end_was_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's OOM kill is no reason for it, but one may be the cause of its wait; its remedy stays."""
    count = iter((0, 1))
    monkeypatch.setattr(oom, "kills", lambda: next(count))
    with pytest.raises(DeadlineExceeded, match=r"^deadline; meanwhile the kernel killed") as failed, oom.MemoryWatch():
        raise DeadlineExceeded("deadline", console="last words", remedy="wait")
    assert (failed.value.console, failed.value.remedy) == ("last words", "wait")


def test_nothing_was_killed() -> None:
    """Any other failure, by the host's real count."""
    with pytest.raises(DeadlineExceeded, match=r"^deadline$"), oom.MemoryWatch():
        raise DeadlineExceeded("deadline")
    with oom.MemoryWatch() as memory:
        memory.look_at(0)


def test_a_process_that_is_gone_has_no_limit() -> None:
    """Nor has one that never was."""
    assert oom.memory_limit(0) == 0
