"""Reasons in words for people."""

from __future__ import annotations

import pytest

from bench.errors import MeasurementError, Unavailable
from bench.reasons import reason_of, told


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


def test_what_nobody_foresaw_is_an_error_of_isobench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type, text and place are told, with the request to report it; with ISOBENCH_DEBUG it is raised again."""
    monkeypatch.delenv("ISOBENCH_DEBUG", raising=False)
    try:
        dict[str, str]()["resident"]
    except KeyError as error:
        reason = reason_of(error)
        assert reason.startswith(
            "an error of isobench itself, please report it: KeyError: 'resident' (test_reasons.py:"
        )
        monkeypatch.setenv("ISOBENCH_DEBUG", "1")
        with pytest.raises(KeyError):
            reason_of(error)


def test_a_reason_can_always_be_kept() -> None:
    """The odd byte of a file's name, half a surrogate pair: written out."""
    assert reason_of(MeasurementError("no \udcff")) == "no \\udcff"
    assert reason_of(OSError(2, "No such file", "\udcff")).encode()
