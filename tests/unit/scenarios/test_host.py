"""What is told of the host's system calls and functions, with a tracer that is made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from isobench.core.errors import Unavailable
from isobench.host import tracing
from isobench.images import seccomp
from isobench.scenarios import _host
from isobench.scenarios.surface import Functions
from tests.fake import SayingSandbox

FOUND: dict[tracing.Kind, tuple[frozenset[str], bool] | str] = {}


class Made:
    def __init__(self, kind: tracing.Kind) -> None:
        self.kind = kind

    def found(self) -> tuple[frozenset[str], bool]:
        found = FOUND[self.kind]
        assert not isinstance(found, str)
        return found


@contextmanager
def _recording(kind: tracing.Kind, pids: Iterable[int]) -> Iterator[Made]:
    found = FOUND[kind]
    if isinstance(found, str):
        raise Unavailable(found)
    yield Made(kind)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "recording", _recording)


def _box(*said: object) -> Any:
    return SayingSandbox(said)


def test_calls_have_names() -> None:
    """One that has none is told by its number."""
    numbers = {name: number for number, name in seccomp.names().items()}
    FOUND[tracing.CALLS] = frozenset({str(numbers["read"]), str(numbers["close"]), "1000"}), False
    assert _host.calls(_box({"done": 27, "missing": ["mount"]})) == {
        "host_calls": "3",
        "host_calls.names": "1000, close, read",
        "host_work.missing": "mount",
    }


def test_what_was_lost_makes_a_number_the_least() -> None:
    FOUND[tracing.FUNCTIONS] = frozenset({"vfs_read", "fput"}), True
    assert dict(Functions().facts(_box({"done": 28, "missing": []}))) == {"functions": "at least 2"}


def test_what_is_not_permitted_has_its_reason() -> None:
    FOUND.update({tracing.CALLS: "no tracefs", tracing.FUNCTIONS: "not permitted"})
    assert _host.calls(_box({"done": 28, "missing": []})) == {"host_calls.unknown": "no tracefs"}
    assert dict(Functions().facts(_box({"done": 28, "missing": []}))) == {"unknown": "not permitted"}


@pytest.mark.parametrize("said", [{}, {"done": 0, "missing": []}, {"done": 5, "missing": "all"}, {"error": "no"}])
def test_a_wrong_answer_is_a_reason(said: object) -> None:
    """And not a number."""
    FOUND[tracing.CALLS] = frozenset(), False
    facts = _host.calls(_box(said))
    assert set(facts) == {"host_calls.unknown"} and "probe" in facts["host_calls.unknown"]
