"""Reasons in words for people."""

from __future__ import annotations

from bench.errors import MeasurementError, Unavailable
from bench.reasons import told


def test_the_last_line_of_the_console_is_part_of_the_reason() -> None:
    """What crun says on a hybrid host is the reason, and it is known what mends it."""
    error = MeasurementError("it ended with status 1", console="one\ncgroups in hybrid mode not supported, drop\n\n")
    reason, remedy = told(error)
    assert reason == "it ended with status 1 (last line: cgroups in hybrid mode not supported, drop)"
    assert "unified_cgroup_hierarchy" in remedy


def test_an_errors_own_remedy_comes_first() -> None:
    """And an error of the system is told as it is."""
    assert told(Unavailable("the guest was not ready", remedy="wait")) == ("the guest was not ready", "wait")
    assert told(OSError(2, "No such file", "x")) == ("[Errno 2] No such file: 'x'", "")
