"""What is told of the host's system calls and functions, with a tracer that is made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from isobench.core.errors import Unavailable
from isobench.host import tracing
from isobench.images import seccomp
from isobench.scenarios import _host
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


def _facts(monkeypatch: pytest.MonkeyPatch, *said: object) -> dict[str, str]:
    monkeypatch.setattr(tracing, "recording", _recording)
    return _host.facts(SayingSandbox(said))  # type: ignore[arg-type]


def test_calls_have_names_and_functions_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that has no name is told by its number; what was lost makes a number the least."""
    numbers = {name: number for number, name in seccomp.names().items()}
    calls = frozenset({str(numbers["read"]), str(numbers["close"]), "1000"})
    FOUND.update({tracing.CALLS: (calls, False), tracing.FUNCTIONS: (frozenset({"vfs_read", "fput"}), True)})
    facts = _facts(monkeypatch, {"done": 27, "missing": ["mount"]})
    assert facts == {
        "host_calls": "3",
        "host_calls.names": "1000, close, read",
        "host_work.missing": "mount",
        "host_functions": "at least 2",
    }


def test_what_is_not_permitted_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without the other."""
    FOUND.update({tracing.CALLS: "no tracefs", tracing.FUNCTIONS: (frozenset({"fput"}), False)})
    facts = _facts(monkeypatch, {"done": 28, "missing": []})
    assert facts == {"host_calls.unknown": "no tracefs", "host_functions": "1"}


@pytest.mark.parametrize("said", [{}, {"done": 0, "missing": []}, {"done": 5, "missing": "all"}, {"error": "no"}])
def test_a_wrong_answer_is_a_reason(monkeypatch: pytest.MonkeyPatch, said: object) -> None:
    """And not a number."""
    FOUND.update({tracing.CALLS: (frozenset(), False), tracing.FUNCTIONS: (frozenset(), False)})
    facts = _facts(monkeypatch, said)
    assert set(facts) == {"host_calls.unknown", "host_functions.unknown"} and all("probe" in f for f in facts.values())
