"""Reading the probe's answers: whatever an instance says, it is an answer or a ProbeError."""

from __future__ import annotations

import io
import json
import math
import statistics
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.contracts.answers import (
    Flood,
    NoDirectIO,
    answers,
    at_least,
    each_answer,
    first_answer,
    median,
    only,
    read_answers,
    text,
    times,
    whole,
)
from isobench.core.errors import DeadlineExceeded, ProbeError
from isobench.core.streams import DeadlineReader

if TYPE_CHECKING:
    from collections.abc import Callable


class _Ended:
    """As much of an instance as reading answers wants."""

    def __init__(self, said: bytes, status: int = 0) -> None:
        self.stdout = io.BytesIO(said)
        self._status = status

    def wait(self) -> int:
        return self._status


OBJECTS = st.dictionaries(
    st.text().filter(lambda key: key != "error"),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
)


@given(st.lists(OBJECTS))
def test_what_was_written_is_read(said: list[dict[str, object]]) -> None:
    """Objects written one a line after the ready line come back as they were."""
    data = b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in said)
    assert read_answers(io.BytesIO(data)) == said


@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_a_probe_error_or_an_answer(noise: bytes, after_ready: bool) -> None:
    """No bytes make reading fail with anything but ProbeError, and what is accepted is finite objects."""
    try:
        found = read_answers(io.BytesIO((b"ready\n" if after_ready else b"") + noise))
    except ProbeError:
        return
    for one in found:
        assert all(not isinstance(value, float) or math.isfinite(value) for value in one.values())


@pytest.mark.parametrize(
    "said",
    [
        "the file system does not support O_DIRECT: Invalid argument",
        "fio failed: fio: looks like your file system does not support direct=1/buffered=0 fio: destination does not "
        "support O_DIRECT",
    ],
)
def test_a_file_system_without_direct_io_is_no_failure(said: str) -> None:
    """tmpfs before Linux 6.6: none of the costs exists there."""
    with pytest.raises(NoDirectIO, match="no direct I/O") as caught:
        read_answers(io.BytesIO(b"ready\n" + json.dumps({"error": said}).encode() + b"\n"))
    assert caught.value.values == {}


@given(st.lists(OBJECTS, min_size=1, max_size=3), st.data())
def test_a_cut_answer_is_noticed(said: list[dict[str, object]], data: st.DataObject) -> None:
    """An answer that ends inside a line is a ProbeError, never a shorter answer."""
    whole = b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in said)
    cut = data.draw(st.integers(0, len(whole) - 1).filter(lambda size: whole[:size][-1:] != b"\n"))
    with pytest.raises(ProbeError):
        read_answers(io.BytesIO(whole[:cut]))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "ready line"),
        (b"hello\n", "ready line"),
        (b"ready", "middle of a line"),
        (b'ready\n{"a": 1}\n{"b"', "middle of a line"),
        (b"ready\nwhat\n", "not JSON"),
        (b"ready\n[1]\n", "not an object"),
        (b'ready\n{"a": NaN}\n', "not JSON"),
        (b'ready\n{"a": 1e999}\n', "not JSON"),
        (b'ready\n{"a": ' + b"[" * 100_000 + b"\n", "not JSON"),
        (b'ready\n{"a": ' + b"9" * 5000 + b"}\n", "not JSON"),
        (b'ready\n{"a": ' + b"[" * 30 + b"]" * 30 + b"}\n", "nested too deeply"),
        (b'ready\n{"a": "\\ud800"}\n', "not JSON"),
        (b'ready\n{"a": "\xed\xa0\x80"}\n', "not JSON"),
        (b'ready\n{"error": "no such file"}\n', "no such file"),
        (b"ready\n" + b"\0" * 70_000, "more than"),
    ],
)
def test_what_is_not_an_answer_says_why(said: bytes, reason: str) -> None:
    """Each kind of broken answer is a ProbeError whose reason names it."""
    with pytest.raises(ProbeError, match=reason):
        read_answers(io.BytesIO(said), most=1 << 17 if b"[[" in said else 1 << 16)


def test_the_first_answer_leaves_the_rest_unread() -> None:
    """A probe that goes on running is read as far as its first answer."""
    stream = io.BytesIO(b'ready\r\n{"port": 1}\nmore\n')
    assert first_answer(stream) == {"port": 1}
    assert stream.read() == b"more\n"


@pytest.mark.parametrize("said", [b"", b"hello\n{}\n", b"ready\n", b'ready\n{"port": 1}', b"ready\nwhat\n"])
def test_a_broken_first_answer_is_a_probe_error(said: bytes) -> None:
    """No ready line, no answer, half an answer or no JSON."""
    with pytest.raises(ProbeError):
        first_answer(io.BytesIO(said))


def test_how_many_answers_there_are() -> None:
    """One where a verb answers once, and never fewer than it must."""
    assert only([{"a": 1}]) == {"a": 1}
    assert at_least(1, [{"a": 1}, {}]) == [{"a": 1}, {}]
    for count in (0, 2):
        with pytest.raises(ProbeError, match=f"sent {count} answers instead of one"):
            only([{}] * count)
    with pytest.raises(ProbeError, match="1 times instead of at least 2"):
        at_least(2, [{}])


@pytest.mark.parametrize("value", [None, 1, ["a"], {"a": 1}])
def test_what_is_no_text(value: object) -> None:
    """Missing or of another type."""
    assert text({"a": "b"}, "a") == "b"
    with pytest.raises(ProbeError, match="no text 'a'"):
        text({"a": value}, "a")
    with pytest.raises(ProbeError, match="no text 'a'"):
        text({}, "a")


@pytest.mark.parametrize("value", [None, "1", True, 1.0, -1, 1 << 63, [1]])
def test_what_is_no_whole_number(value: object) -> None:
    """Missing, of another type, below zero or more than any count."""
    assert whole({"a": 0}, "a") == 0
    with pytest.raises(ProbeError, match="no whole number 'a'"):
        whole({"a": value}, "a")


@pytest.mark.parametrize(
    "ns", [None, 7, "7", {"7": 7}, [], [0], [-1.0, 2.0], ["a"], [None], [True], [[1]], [1, 1e18], [1e-320]]
)
def test_what_are_no_times(ns: object) -> None:
    """One positive number of nanoseconds at least, and nothing else among them."""
    assert times({"name": "a", "ns": [1, 2.5]}, "ab") == ("a", [1, 2.5])
    with pytest.raises(ProbeError, match="no positive times for 'a'"):
        times({"name": "a", "ns": ns}, {"a": ""})


@pytest.mark.parametrize("name", [None, "c", ["a"], {"a": 1}, 1])
def test_times_of_what_nobody_asked_for(name: object) -> None:
    """Also where the name is nothing that could be looked up."""
    with pytest.raises(ProbeError, match="was not requested"):
        times({"name": name, "ns": [1]}, {"a": ""})


def test_a_serial_lines_carriage_returns_do_not_count() -> None:
    """A guest's console ends its lines with a carriage return and a newline."""
    assert read_answers(io.BytesIO(b'ready\r\n{"a": 1}\r\n')) == [{"a": 1}]


def test_a_bad_exit_status_is_an_error() -> None:
    """Whole lines from a probe that was killed afterwards are not an answer."""
    assert answers(_Ended(b'ready\n{"a": 1}\n')) == [{"a": 1}]  # type: ignore[arg-type]
    with pytest.raises(ProbeError, match="status 9"):
        answers(_Ended(b'ready\n{"a": 1}\n', status=9))  # type: ignore[arg-type]


def test_the_deadline_of_the_stream_passes_through() -> None:
    """An instance that stops in the middle of its answer costs no longer than its deadline."""
    import os
    import time

    reading, writing = os.pipe()
    try:
        os.write(writing, b'ready\n{"a": ')
        with (
            io.BufferedReader(DeadlineReader(reading, time.monotonic() + 0.05)) as stream,
            pytest.raises(DeadlineExceeded),
        ):
            read_answers(stream)
    finally:
        os.close(writing)


@pytest.mark.parametrize("read", [answers, lambda instance, most: list(each_answer(instance, most=most))])
def test_a_flood_is_not_waited_for(read: Callable[..., object]) -> None:
    """It has no end: waiting for one, to ask what killed it, would take the whole deadline."""

    class Flooding(_Ended):
        def wait(self) -> int:
            raise AssertionError("waited")

    with pytest.raises(Flood, match="more than 100 bytes"):
        read(Flooding(b"ready\n" + b"x" * 200), most=100)


@pytest.mark.parametrize("values", [[3.0], [5.0, 1.0], [9.0, 1.0, 2.0], [4.0, 1.0, 3.0, 2.0], [1e-9, 1e18, 7.0]])
def test_the_median_is_that_of_the_standard_library(values: list[float]) -> None:
    """Which is not imported, because that takes as long as half a start."""
    assert median(values) == statistics.median(values)
