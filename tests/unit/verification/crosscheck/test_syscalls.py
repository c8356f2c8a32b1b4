"""The cross-check's own arithmetic, with measurements that are made up; the real session is `nox -s crosscheck`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from isobench.scenarios.syscall import MEANINGS
from verification import crosscheck
from verification.crosscheck.__main__ import main
from verification.crosscheck.syscalls import AGREES, DIFFERS, NOISY, OPERATIONS, compare, judge, show


def test_every_operation_but_that_of_two_cpus_is_checked() -> None:
    """In the order of the scenario's list; each has a loop in the reference of its own."""
    assert list(OPERATIONS) == [name for name in MEANINGS if name != "pipe-2cpu"]
    reference = Path(crosscheck.__file__).with_name("syscalls.c").read_text()
    assert [name for name in OPERATIONS if f'{{"{name}", ' not in reference] == []


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


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.97, 1.02, AGREES),
        (0.95, 1.05, AGREES),
        (1.051, 1.2, DIFFERS),
        (0.5, 0.949, DIFFERS),
        (0.94, 1.02, NOISY),
        (0.98, 1.06, NOISY),
        (0.5, 2.0, NOISY),
        (math.nan, math.nan, NOISY),
    ],
)
def test_an_interval_agrees_or_differs_only_where_all_of_it_does(low: float, high: float, word: str) -> None:
    """One that crosses an edge of the band, however wide it is, says nothing."""
    assert judge(low, high) == word


def test_what_differs_counts_and_what_cannot_be_told_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Each row ends with its word; the closing line counts all three; only a figure that is surely off is returned."""
    noisy = ([80.0, 130.0, 85.0, 124.0, 99.0, 101.0, 97.0, 103.0], [100.0] * 8)
    wrong = ([110.0, 111.0, 109.0, 112.0, 108.0, 110.5, 111.5, 109.5], [100.0] * 8)
    same = ([100.0, 101.0, 99.0, 100.5, 99.5, 101.0, 98.0, 102.0], [100.0] * 8)
    assert show({"noisy": noisy, "wrong": wrong, "same": same}, rounds=8) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("]  ")[2] for line in lines[1:4]] == [NOISY, DIFFERS, AGREES]
    assert lines[4] == "of 3: 1 agree within 5%, 1 differ, 1 too noisy to tell"
    assert show({"noisy": noisy}, rounds=8) == 0


def test_an_unknown_part_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A part that does not exist gets one line that names those that do, and exit code 2."""
    assert main(["nonsense"]) == 2
    assert "syscalls" in capsys.readouterr().err
