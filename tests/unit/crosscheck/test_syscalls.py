"""The cross-check's own arithmetic, with measurements that are made up; the real session is `nox -s crosscheck`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosscheck.__main__ import main
from crosscheck.syscalls import OPERATIONS, compare, show
from scenarios.syscall import MEANINGS

if TYPE_CHECKING:
    import pytest


def test_every_checked_operation_is_one_of_ours() -> None:
    """A reference for something that isobench does not measure would check nothing."""
    assert set(OPERATIONS) <= set(MEANINGS)


def test_ours_and_theirs_take_turns_and_the_warm_up_is_left_out() -> None:
    """Both sides are called once a round, never three times in a row, and the first round does not count."""
    called: list[str] = []

    def say(who: str, value: float) -> float:
        called.append(who)
        return value

    taken = compare({"x": (lambda: say("ours", 1.0), lambda: say("theirs", 2.0))}, rounds=20, seed=3)
    assert taken == {"x": ([1.0] * 20, [2.0] * 20)}
    assert called.count("ours") == called.count("theirs") == 21
    assert all(len(set(called[i : i + 3])) == 2 for i in range(len(called) - 2))


def test_only_an_interval_wholly_outside_the_band_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Noise around the reference passes; a figure that is surely off is flagged and counted."""
    noisy = ([90.0, 130.0, 95.0, 104.0, 99.0, 101.0, 97.0, 103.0], [100.0] * 8)
    wrong = ([110.0, 111.0, 109.0, 112.0, 108.0, 110.5, 111.5, 109.5], [100.0] * 8)
    assert show({"noisy": noisy, "wrong": wrong}, rounds=8) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "APART" in lines[2] and "APART" not in lines[1]


def test_an_unknown_part_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A part that does not exist gets one line that names those that do, and exit code 2."""
    assert main(["nonsense"]) == 2
    assert "syscalls" in capsys.readouterr().err
