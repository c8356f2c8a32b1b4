"""Reading what a working verb of the probe answers: JSON, one object a line, after the ready line.

The bytes come out of an instance that may be broken, cut off, or lie: everything is bounded, and anything that is
not an answer is a `ProbeError`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from isobench.core.errors import MeasurementError, OutOfMemory, ProbeError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from isobench.contracts.environment import Instance

MOST_BYTES = 1 << 20
"""More than any verb answers (1 MiB)."""
MOST_DEPTH = 20
"""Deeper than any answer is nested: what is nested as deeply as it can be read cannot be shown any more."""
NANOSECONDS = (1e-6, 1e18)
"""Shorter than anything takes, and longer (30 years): what lies between stays positive and finite in seconds."""


class Flood(ProbeError):
    """More than any verb answers, and no end in sight."""


def answers(instance: Instance, *, most: int = MOST_BYTES) -> list[dict[str, Any]]:
    """All that the instance answers until it ends, waited for included.

    Raises `ProbeError` on an error answer, on garbage, on a line that was cut off, on more than `most` bytes and on a
    bad exit status; `DeadlineExceeded` (from the stream) when it does not end in time; `OutOfMemory` in place of any
    `ProbeError` where the instance knows that it was OOM-killed.
    """
    try:
        said = read_answers(instance.stdout, most=most)
    except Flood:  # it goes on: its end is not worth waiting for
        raise
    except ProbeError as broken:
        blame_memory(instance, broken)
        raise
    status = instance.wait()
    if status != 0:
        raise ProbeError(f"the probe answered but exited with status {status}", console=_tail(repr(said[-1:]).encode()))
    return said


def blame_memory(instance: Instance, broken: MeasurementError) -> None:
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
        raise ProbeError("the probe did not send the ready line first", console=_tail(data))
    if lines.pop() != b"":
        raise ProbeError("the probe's answer ends in the middle of a line", console=_tail(data))
    return [_answer(line) for line in lines[1:]]


def first_answer(stream: BinaryIO, *, most: int = MOST_BYTES) -> dict[str, Any]:
    """The object on the first line after the ready line, of a probe that then goes on running. Raises `ProbeError`."""
    ready = stream.readline(most)
    if ready.rstrip(b"\r\n") != b"ready":
        raise ProbeError("the probe did not send the ready line first", console=_tail(ready))
    return next_answer(stream, most=most)


def next_answer(stream: BinaryIO, *, most: int = MOST_BYTES) -> dict[str, Any]:
    """The object on the next line, of a probe that answers step by step. Raises `ProbeError`."""
    line = stream.readline(most)
    if not line.endswith(b"\n"):
        raise ProbeError("the probe's answer ends in the middle of a line", console=_tail(line))
    return _answer(line)


def each_answer(instance: Instance, *, most: int = MOST_BYTES) -> Iterator[dict[str, Any]]:
    """The answers as they come, of a probe that waits now and then; waits for its end. Raises like `answers`."""
    first = instance.stdout.readline(most)
    if first.rstrip(b"\r\n") != b"ready":
        raise ProbeError("the probe did not send the ready line first", console=_tail(first))
    while line := instance.stdout.readline(most):
        if len(line) == most:
            raise Flood(f"the probe answered with more than {most} bytes", console=_tail(line))
        try:
            if not line.endswith(b"\n"):
                raise ProbeError("the probe's answer ends in the middle of a line", console=_tail(line))
            answer = _answer(line)
        except ProbeError as broken:
            blame_memory(instance, broken)
            raise
        yield answer
    status = instance.wait()
    if status != 0:
        raise ProbeError(f"the probe answered but exited with status {status}")


def only(said: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The one answer of a verb that gives one. Raises `ProbeError`."""
    if len(said) != 1:
        raise ProbeError(f"the probe sent {len(said)} answers instead of one", console=_shown(said))
    return said[0]


def at_least(count: int, said: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The answers of a verb that gives so many or more. Raises `ProbeError`."""
    if len(said) < count:
        reason = f"the probe answered {len(said)} times instead of at least {count}"
        raise ProbeError(reason, console=_shown(said))
    return said


def text(answer: Mapping[str, Any], key: str) -> str:
    """The text of this name in an answer. Raises `ProbeError`."""
    found = answer.get(key)
    if not isinstance(found, str):
        raise ProbeError(f"the probe's answer has no text {key!r}", console=_shown(answer))
    return found


def whole(answer: Mapping[str, Any], key: str) -> int:
    """The number of this name in an answer, of bytes or pages or of a port: whole, and not below 0, nor above what 63
    bits hold. Raises `ProbeError`."""
    found = answer.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 63:
        raise ProbeError(f"the probe's answer has no whole number {key!r}", console=_shown(answer))
    return found


def times(answer: Mapping[str, Any], known: Container[str]) -> tuple[str, list[float]]:
    """What an answer says of an operation: its name, one of these, and the nanoseconds of its batches, one or more.

    Raises `ProbeError`.
    """
    name, batches = answer.get("name"), answer.get("ns")
    if not isinstance(name, str) or name not in known:
        shown = repr(name)[:100]
        raise ProbeError(f"the probe answered with the operation {shown}, which was not requested")
    if not isinstance(batches, list) or not batches or not all(map(_positive, batches)):
        raise ProbeError(f"the probe gave no positive times for {name!r}", console=_shown(batches))
    return name, batches


def median(values: Iterable[float]) -> float:
    """The middle of some values, or the mean of the two in the middle: the standard library's takes half a start of
    Python to import, and every scenario is imported by `isobench list`."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and NANOSECONDS[0] < value < NANOSECONDS[1]


def _shown(found: object) -> str:
    return repr(found)[:500]


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
    import json  # here, because `isobench list` imports every scenario

    try:
        found = json.loads(line.decode(), parse_float=_finite, parse_int=_bounded, parse_constant=_finite)
        if b"\\u" in line:
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text: it cannot be kept
    except (ValueError, RecursionError):
        raise ProbeError("the probe answered with something that is not JSON", console=_tail(line)) from None
    if _is_deep(found):
        raise ProbeError("the probe answered with JSON that is nested too deeply", console=_tail(line))
    if not isinstance(found, dict):
        raise ProbeError("the probe answered with JSON that is not an object", console=_tail(line))
    if "error" in found:
        raise ProbeError(f"the probe: {str(found['error'])[:500]}")
    return found


def _is_deep(found: object) -> bool:
    level = [found]
    for _ in range(MOST_DEPTH):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(found: object) -> Iterable[object]:
    if isinstance(found, dict):
        return found.values()
    return found if isinstance(found, list) else ()


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
