"""What the outcomes of system calls mean."""

from __future__ import annotations

import errno
import signal
from typing import Any

import pytest

from isobench.scenarios import _calls
from isobench.scenarios._calls import facts, sorted_out

NAMES = {0: "read", 1: "mount", 2: "clone3", 3: "iopl", 4: "sync", 5: "bpf"}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of a few system calls, all but one of which the harness's own process has."""
    monkeypatch.setattr(_calls, "_names", lambda: NAMES)
    monkeypatch.setattr(_calls, "_on_the_host", lambda: frozenset(NAMES) - {3})


def test_a_filter_is_told_from_the_kernel() -> None:
    """By what the filter says alone; what the kernel was not asked, it has not refused."""
    found = sorted_out(
        [(0, 0, errno.EFAULT), (1, errno.EPERM, errno.EPERM), (5, 0, errno.EPERM), (3, 0, errno.ENOSYS)],
        same_kernel=True,
    )
    assert found == (["read"], ["mount"], [], ["bpf"], ["iopl"], [])


def test_a_filter_may_say_that_a_call_is_absent() -> None:
    """As Docker's of clone3. Of another kernel than the host's it cannot be told."""
    assert sorted_out([(2, 0, errno.ENOSYS)], same_kernel=True).denied == ["clone3"]
    assert sorted_out([(2, 0, errno.ENOSYS)], same_kernel=False).absent == ["clone3"]


def test_who_is_killed_is_killed_by_the_filter() -> None:
    """Asked or called; another signal is the kernel's own answer."""
    outcomes = [(0, -signal.SIGSYS, errno.EFAULT), (1, 0, -signal.SIGSYS), (5, 0, -signal.SIGILL)]
    found = sorted_out(outcomes, same_kernel=True)
    assert (found.killed, found.let_through) == (["mount", "read"], ["bpf"])


def test_a_call_about_which_no_filter_is_asked_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel makes it although it was to be passed on. An older kernel asks the filter."""
    monkeypatch.setattr(_calls, "_names", lambda: {335: "uretprobe", 336: "uprobe"})
    by_a_new_one = [(335, -signal.SIGILL, -signal.SIGILL), (336, errno.ENXIO, errno.ENXIO)]
    assert sorted_out(by_a_new_one, same_kernel=True).let_through == ["uprobe", "uretprobe"]
    by_an_old_one = [(335, errno.EPERM, errno.EPERM), (336, errno.ENOSYS, errno.ENOSYS)]
    assert sorted_out(by_an_old_one, same_kernel=True).denied == ["uprobe", "uretprobe"]


def test_what_could_not_be_asked_is_not_known() -> None:
    """Unless the answer cannot be the filter's."""
    found = sorted_out([(0, -1000, 0), (1, -1000, errno.EPERM), (5, 0, -1000)], same_kernel=True)
    assert (found.let_through, found.unknown) == (["read"], ["bpf", "mount"])


def test_the_facts_are_numbers_and_names() -> None:
    """What has no name here is not counted; what was not tried is left out, with the reason."""
    told = facts([[0, 0, 0], [1, 1, 1], [77, 0, 0]], same_kernel=True, filtered=True)
    assert (told["calls"], told["calls.known"], told["calls.denied"]) == ("1", "6", "mount")
    assert told["calls.left_out"].startswith("bpf, clone3, iopl, sync (it writes out")
    assert told["calls.profile"] == "as documented"
    assert "calls.profile" not in facts([], same_kernel=True, filtered=False)


def test_a_filter_is_held_against_dockers() -> None:
    """Against its documentation: of the calls that were tried."""
    told = facts([[0, 1, 1], [1, 0, 14]], same_kernel=True, filtered=True)
    assert told["calls.profile"] == "also denies read; lets through mount"


@pytest.mark.parametrize("seen", [None, 7, [7], [[1, 2]], [["x", 0, 0]], {"a": 1}])
def test_what_is_no_answer_is_an_error(seen: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        facts(seen, same_kernel=True, filtered=True)
