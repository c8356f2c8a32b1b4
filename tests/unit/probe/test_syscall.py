"""`probe syscall` run by hand: what it measures is real, bounded and the same list as the scenarios'."""

from __future__ import annotations

import io
import subprocess
from statistics import median
from typing import Any

import pytest

from isobench.contracts.answers import read_answers
from isobench.core.errors import ProbeError
from isobench.probe.build import probe_path
from isobench.scenarios.syscall import MEANINGS

NEEDS = {"pipe-2cpu": "no second CPU", "mount": "not permitted", "tcp": "loopback"}
"""What may be missing on some host, and a part of the reason."""


def _syscall(*arguments: str) -> list[dict[str, Any]]:
    ended = subprocess.run([str(probe_path()), "syscall", *arguments], capture_output=True, timeout=300)
    return read_answers(io.BytesIO(ended.stdout))


@pytest.fixture(scope="module")
def everything() -> dict[str, dict[str, Any]]:
    """All operations, measured once."""
    return {answer["name"]: answer for answer in _syscall()[1:]}


def _ns(answer: dict[str, Any]) -> float:
    return float(median(answer["ns"]))


def test_every_operation_has_a_meaning_and_an_answer(everything: dict[str, dict[str, Any]]) -> None:
    """The probe's table and the scenarios' list of meanings are the same, and only known operations may be missing."""
    assert list(everything) == list(MEANINGS)
    missing = {name: answer["unavailable"] for name, answer in everything.items() if "unavailable" in answer}
    assert all(NEEDS.get(name, "?") in reason for name, reason in missing.items()), missing


def test_batches_are_what_they_say(everything: dict[str, dict[str, Any]]) -> None:
    """As many positive times as batches, and a batch lasts many ticks of the clock, however busy the host was when the
    probe calibrated its loops: then it takes fewer iterations than it would have."""
    for answer in everything.values():
        if "unavailable" in answer:
            continue
        assert 5 <= len(answer["ns"]) == answer["batches"] <= 30
        assert min(answer["ns"]) > 0
        assert _ns(answer) * answer["iterations_per_batch"] > 5_000


def test_the_empty_loop_is_measured_and_small(everything: dict[str, dict[str, Any]]) -> None:
    """What the loop costs stands beside each figure and is below a tenth of a trivial call."""
    trivial = everything["getppid"]
    assert 0 < trivial["empty_ns"] < _ns(trivial) / 10


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("mmap", "mmap-touch"),
        ("getppid", "read-1b"),
        ("read-1b", "pipe"),
        ("thread", "vfork-exec"),
        ("stat", "open-close"),
    ],
)
def test_what_includes_more_costs_more(everything: dict[str, dict[str, Any]], less: str, more: str) -> None:
    """More work takes longer, batch by batch the least of each: touching a page, executing a program, a second
    process. Other programs make batches longer, never shorter, so more of them come closer to the truth."""
    least = {name: min(everything[name]["ns"]) for name in (less, more)}
    for _ in range(10):
        if least[less] < least[more]:
            break
        for answer in _syscall(less, more)[1:]:
            least[answer["name"]] = min(least[answer["name"]], *answer["ns"])
    assert least[less] < least[more]


def test_only_what_was_asked_for_is_measured() -> None:
    """Names choose, in the order given; --batches bounds the answer."""
    answers = _syscall("--batches=2", "stat", "getppid")
    assert [answer.get("name") for answer in answers] == [None, "stat", "getppid"]
    assert len(answers[1]["ns"]) == 2


def test_pinned_runs_on_one_cpu() -> None:
    """With --pin there is one CPU, and no two processes on two of them."""
    about, pair = _syscall("--pin", "--batches=1", "pipe-2cpu")
    assert about["cpus"] == 1 and about["pinned"] == 1
    assert "second CPU" in pair["unavailable"]


def test_about_says_what_the_figures_depend_on() -> None:
    """The kernel, the seccomp mode and whether new privileges are possible."""
    (about,) = _syscall("about")
    assert about["kernel"] and about["seccomp"] in (0, 2) and about["no_new_privs"] in (0, 1)


@pytest.mark.parametrize("arguments", [("nonsense",), ("--batches=0",), ("--batches=9999",), ("--wrong", "stat")])
def test_wrong_usage_is_an_error_answer(arguments: tuple[str, ...]) -> None:
    """An unknown name or option is an error, not an empty answer."""
    with pytest.raises(ProbeError, match="syscall"):
        _syscall(*arguments)


def test_nothing_is_left_on_the_storage_it_used(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The folders that getdents and mount make are gone afterwards."""
    data = tmp_path_factory.mktemp("data")
    subprocess.run(
        [str(probe_path()), "syscall", "--batches=1", "getdents", "mount"],
        env={"ISOBENCH_DATA": str(data)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert list(data.iterdir()) == []
