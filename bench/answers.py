"""Reading what a working verb of the probe answers: JSON, one object a line, after the ready line.

The bytes come out of an instance that may be broken, cut off, or lie: everything is bounded, and anything that is
not an answer is a `ProbeError`.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from bench.errors import MeasurementError, OutOfMemory, ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from bench.environment import Instance

MOST_BYTES = 1 << 20
"""More than any verb answers (1 MiB)."""


class Flood(ProbeError):
    """More than any verb answers, and no end in sight."""


def answers(instance: Instance, *, most: int = MOST_BYTES) -> list[dict[str, Any]]:
    """All that the instance answers until it ends, waited for included.

    Raises `ProbeError` on an error answer, on garbage, on a line that was cut off, on more than `most` bytes and on a
    bad exit status; `DeadlineExceeded` (from the stream) when it does not end in time; `OutOfMemory` in place of any
    `ProbeError` where the instance knows that it was killed for want of memory.
    """
    try:
        said = read_answers(instance.stdout, most=most)
    except Flood:  # it goes on: its end is not worth waiting for
        raise
    except ProbeError as broken:
        _blame_memory(instance, broken)
        raise
    status = instance.wait()
    if status != 0:
        raise ProbeError(f"the probe answered but ended with status {status}", console=_tail(repr(said[-1:]).encode()))
    return said


def _blame_memory(instance: Instance, broken: ProbeError) -> None:
    """Raise `OutOfMemory` where that is why the answer is broken; any other end leaves the broken answer the reason."""
    try:
        instance.wait()
    except OutOfMemory as error:
        said = error.console or broken.console
        raise OutOfMemory(f"{error.reason}: {broken.reason}", console=said) from broken
    except MeasurementError:
        pass


def read_answers(stream: BinaryIO, *, most: int = MOST_BYTES) -> list[dict[str, Any]]:
    """The objects on the lines of `stream` after the ready line, to its end. Raises `ProbeError`."""
    data = _read_to_end(stream, most)
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    if lines[0] != b"ready":
        raise ProbeError("the probe did not say the ready line first", console=_tail(data))
    if lines.pop() != b"":
        raise ProbeError("the probe's answer ends in the middle of a line", console=_tail(data))
    return [_answer(line) for line in lines[1:]]


def first_answer(stream: BinaryIO, *, most: int = MOST_BYTES) -> dict[str, Any]:
    """The object on the first line after the ready line, of a probe that then goes on running. Raises `ProbeError`."""
    ready = stream.readline(most)
    if ready.rstrip(b"\r\n") != b"ready":
        raise ProbeError("the probe did not say the ready line first", console=_tail(ready))
    line = stream.readline(most)
    if not line.endswith(b"\n"):
        raise ProbeError("the probe's answer ends in the middle of a line", console=_tail(line))
    return _answer(line)


def each_answer(instance: Instance, *, most: int = MOST_BYTES) -> Iterator[dict[str, Any]]:
    """The answers as they come, of a probe that waits now and then; waits for its end. Raises like `answers`."""
    first = instance.stdout.readline(most)
    if first.rstrip(b"\r\n") != b"ready":
        raise ProbeError("the probe did not say the ready line first", console=_tail(first))
    while line := instance.stdout.readline(most):
        if len(line) == most:
            raise Flood(f"the probe answered with more than {most} bytes", console=_tail(line))
        try:
            if not line.endswith(b"\n"):
                raise ProbeError("the probe's answer ends in the middle of a line", console=_tail(line))
            answer = _answer(line)
        except ProbeError as broken:
            _blame_memory(instance, broken)
            raise
        yield answer
    status = instance.wait()
    if status != 0:
        raise ProbeError(f"the probe answered but ended with status {status}")


def _read_to_end(stream: BinaryIO, most: int) -> bytes:
    parts = []
    size = 0
    while part := stream.read(min(65536, most + 1 - size)):
        parts.append(part)
        size += len(part)
        if size > most:
            raise Flood(f"the probe answered with more than {most} bytes", console=_tail(part))
    return b"".join(parts)


def _answer(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_float=_finite, parse_int=_bounded, parse_constant=_finite)
    except (ValueError, RecursionError):
        raise ProbeError("the probe answered with something that is not JSON", console=_tail(line)) from None
    if not isinstance(found, dict):
        raise ProbeError("the probe answered with JSON that is not an object", console=_tail(line))
    if "error" in found:
        raise ProbeError(f"the probe: {str(found['error'])[:500]}")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _bounded(text: str) -> int:
    """What is longer than any float cannot be reckoned with."""
    if len(text) > 300:
        raise ValueError(text[:20])
    return int(text)


def _tail(data: bytes) -> str:
    return data[-500:].decode(errors="replace")
