"""What is made of Ansible's events, and what an inventory says. Plays on real hosts are in tests/e2e/test_fleet.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from isobench.core.errors import UsageError
from isobench.fleet.turns import Place
from tests.conftest import STRICT

if not STRICT:
    pytest.importorskip("ansible_runner")
from isobench.fleet import playing

if TYPE_CHECKING:
    from collections.abc import Iterable


def seen(*events: tuple[str, dict[str, Any]]) -> tuple[playing._Seen, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    found = playing._Seen(lambda host, role: told.append((host, role)))
    for kind, data in events:
        assert not found.event({"event": kind, "event_data": data})
    return found, told


def test_each_role_is_told_once() -> None:
    """In the order in which they begin; what they share is none of them."""
    roles: Iterable[str] = ("settings", "provision", "provision", "measure", "settings", "measure", "fetch")
    _, told = seen(*(("runner_on_start", {"host": "alder", "role": role}) for role in roles))
    assert told == [("alder", "provision"), ("alder", "measure"), ("alder", "fetch")]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"msg": "no room: make some"}, "no room: make some"),
        ({"msg": "non-zero return code", "stderr": "warning\nisobench: refused (pid 7)\n"}, "refused (pid 7)"),
        (
            {"msg": "no JSON", "module_stderr": "pyenv: python3.13: command not found\nmore\n"},
            "no JSON: pyenv: python3.13: command not found",
        ),
        (
            {
                "msg": "no JSON",
                "module_stderr": "Shared connection to b closed.\r\n",
                "module_stdout": "\r\nsudo: not found\r\n",
            },
            "no JSON: sudo: not found",
        ),
        ({"msg": "Task failed\ndd: No space left on device\n0 bytes copied, 6e-05 s"}, "dd: No space left on device"),
        ({"msg": "", "stdout": "only\nthis"}, "this"),
        ({"msg": "a\x1b[31m\u202e b"}, "a⟨U+001B⟩[31m⟨U+202E⟩ b"),
        ({}, "it failed without a reason"),
    ],
)
def test_the_reason_is_one_line(result: dict[str, Any], reason: str) -> None:
    assert playing._reason(result) == reason


def test_the_first_failure_is_the_reason() -> None:
    """What fails after it, fails because of it; what may fail is none."""
    found, _ = seen(
        ("runner_on_failed", {"ignore_errors": True, "res": {"msg": "never mind"}}),
        ("runner_on_failed", {"res": {"msg": "first"}}),
        ("runner_on_unreachable", {"res": {"msg": "then"}}),
    )
    assert found.reason == "first" and found.unreachable


@pytest.mark.parametrize(
    ("events", "status", "check", "state"),
    [
        ([("runner_on_ok", {"task": "Measure"})], "successful", False, "measured"),
        ([], "successful", False, "already measured"),
        ([], "successful", True, "checked"),
        ([], "failed", False, "failed"),
        ([("runner_on_unreachable", {"res": {"msg": "gone"}})], "failed", False, "unreachable"),
        ([], "canceled", False, "given up"),
    ],
)
def test_the_state(events: list[tuple[str, dict[str, Any]]], status: str, check: bool, state: str) -> None:
    """A host that was not measured always has a reason."""
    found, reason = playing._ending(seen(*events)[0], status, check, 60)
    assert found == state and bool(reason) == (state in ("failed", "unreachable", "given up"))


def test_an_inventory(tmp_path: Path) -> None:
    """Its hosts, those of groups of groups too, each once; domain and deadline where it says them."""
    file = tmp_path / "inventory.yml"
    file.write_text(
        "all: {children: {rack: {hosts: {a: {isobench_domain: pdu, isobench_deadline: 60}, b: {}}},"
        " also: {hosts: {b: {}}}}}"
    )
    assert playing.places(file, tmp_path) == [Place("a", "pdu", 60), Place("b")]
    assert playing.places(file, tmp_path, "also") == [Place("b")]
    with pytest.raises(UsageError, match="nobody"):
        playing.places(file, tmp_path, "nobody")


@pytest.mark.parametrize(("text", "said"), [("[a\n", "Ansible cannot read|has no host"), ("", "has no host")])
def test_what_is_no_inventory(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "inventory.ini"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        playing.places(file, tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        playing.places(tmp_path / "none", tmp_path)
