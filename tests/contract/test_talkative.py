"""A program that writes more to standard error than a pipe holds is not one that hangs."""

from __future__ import annotations

import pytest

from isobench.core.errors import DeadlineExceeded, MeasurementError
from isobench.probe.launcher import launched

MANY = "for i in $(seq 4000); do echo '........................................ no room' >&2; done; echo the end >&2"


def test_one_that_fails_with_many_words() -> None:
    """LXC says in a thousand lines that it may make no cgroup: the failure is told at once, with its last words."""
    with (
        pytest.raises(MeasurementError, match="status 3") as told,
        launched(["/bin/sh", "-c", f"{MANY}; exit 3"], timeout=600),
    ):
        pass
    assert not isinstance(told.value, DeadlineExceeded)
    assert told.value.console.endswith("no room\nthe end\n") and len(told.value.console) <= 2000


def test_one_that_works_with_many_words() -> None:
    """Before it is ready, and before it exits."""
    with launched(["/bin/sh", "-c", f"{MANY}; echo ready; read line; {MANY}"], timeout=600) as instance:
        assert instance.stdout.readline() == b"ready\n"
        assert instance.wait() == 0
        assert instance.console().endswith("the end\n")
