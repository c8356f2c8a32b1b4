"""Reads the answers of a working verb of the probe: JSON, one object per line, after the ready line.

The bytes come from an instance that may be broken, cut off or hostile: everything is bounded, and anything that is not
an answer is a `ProbeError`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from isobench.core.errors import MeasurementError, OutOfMemory, ProbeError, StoppedShort

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from isobench.contracts.environment import Instance

MOST_BYTES = 1 << 20
"""More than any verb answers (1 MiB)."""
MOST_DEPTH = 20
"""Deeper than any answer is nested. Python reads JSON that is nested too deeply to be printed again."""
NANOSECONDS = (1e-6, 1e18)
"""Bounds of a time: below any operation's, and 30 years. In between, it stays positive and finite in seconds."""


_REFUSED = ("does not support O_DIRECT", "does not support direct=1")
"""What the probe and fio say if a file cannot be opened for direct I/O."""


class NoDirectIO(StoppedShort):
    """The file system of an instance's storage refuses direct I/O: none of the costs exists there."""

    def __init__(self) -> None:
        super().__init__("the file system of its storage has no direct I/O (tmpfs has, from Linux 6.6 on)", {})


class Flood(ProbeError):
    """The probe wrote more than any verb answers, and goes on."""


def answers(instance: Instance, *, most: int = MOST_BYTES) -> list[dict[str, Any]]:
    """All answers of an instance; waits for its end.

    Raises `ProbeError` on an error answer, on garbage, on a line that was cut off, on more than `most` bytes and on a
    bad exit status; `DeadlineExceeded` (from the stream) if it does not end in time; `OutOfMemory` in place of any
    `ProbeError` if the instance knows that it was OOM-killed; `NoDirectIO` if its file system refuses that.
    """
    try:
        said = read_answers(instance.stdout, most=most)
    except Flood:  # it goes on writing, and waiting for its end would take until the deadline
        raise
    except ProbeError as broken:
        blame_memory(instance, broken)
        raise
    status = instance.wait()
    if status != 0:
        raise ProbeError(f"the probe answered but exited with status {status}", console=_tail(repr(said[-1:]).encode()))
    return said


def blame_memory(instance: Instance, broken: MeasurementError) -> None:
    """Raise `OutOfMemory` if that is why the answer is broken; otherwise the broken answer remains the error."""
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
    """The answers as they arrive, of a probe that pauses between them; waits for its end. Raises as `answers` does."""
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
    """The answer of a verb that gives exactly one. Raises `ProbeError`."""
    if len(said) != 1:
        raise ProbeError(f"the probe sent {len(said)} answers instead of one", console=_shown(said))
    return said[0]


def at_least(count: int, said: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The answers of a verb that gives at least `count`. Raises `ProbeError`."""
    if len(said) < count:
        reason = f"the probe answered {len(said)} times instead of at least {count}"
        raise ProbeError(reason, console=_shown(said))
    return said


def text(answer: Mapping[str, Any], key: str) -> str:
    """The text under this key of an answer. Raises `ProbeError`."""
    found = answer.get(key)
    if not isinstance(found, str):
        raise ProbeError(f"the probe's answer has no text {key!r}", console=_shown(answer))
    return found


def whole(answer: Mapping[str, Any], key: str) -> int:
    """The whole number under this key of an answer (bytes, pages, a port), from 0 to the largest of 63 bits. Raises
    `ProbeError`."""
    found = answer.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 63:
        raise ProbeError(f"the probe's answer has no whole number {key!r}", console=_shown(answer))
    return found


def times(answer: Mapping[str, Any], known: Container[str]) -> tuple[str, list[float]]:
    """An operation's name, which must be one of `known`, and the nanoseconds of its batches, at least one.

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
    """The median. Importing the standard library's takes half of Python's start-up time, and `isobench list` imports
    every scenario."""
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
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair cannot be written as UTF-8
    except (ValueError, RecursionError):
        raise ProbeError("the probe answered with something that is not JSON", console=_tail(line)) from None
    if _is_deep(found):
        raise ProbeError("the probe answered with JSON that is nested too deeply", console=_tail(line))
    if not isinstance(found, dict):
        raise ProbeError("the probe answered with JSON that is not an object", console=_tail(line))
    if "error" in found:
        error = str(found["error"])[:500]
        if any(words in error for words in _REFUSED):
            raise NoDirectIO
        raise ProbeError(f"the probe: {error}")
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
    """Refuses an integer that is larger than any float."""
    if len(text) > 300:
        raise ValueError(text[:20])
    return int(text)


def _tail(data: bytes) -> str:
    return data[-500:].decode(errors="replace")
