"""Whether this process itself stood still: a thread that sleeps a tenth of a second, and looks how late it wakes.

Stopped by a signal, frozen or throttled with a cgroup of whatever level, paused with the machine that it runs in, or
not given a CPU: nothing else that the host counts tells all of these.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL = 0.1
TOLERATED = 0.1
"""Seconds that a beat may be late: a busy host's scheduler is."""


class _Heart:
    """The seconds that beats were too late, all together; None while nothing beats."""

    late: float | None = None


def late_seconds() -> float | None:
    """For how long this process stood still since `beating` began; None outside of it."""
    return _Heart.late


@contextmanager
def beating() -> Iterator[None]:
    """Count while this lasts."""
    end = threading.Event()
    _Heart.late = 0.0
    thread = threading.Thread(target=_beat, args=(end,), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        _Heart.late = None


def _beat(end: threading.Event) -> None:
    before = time.monotonic()
    while not end.wait(INTERVAL):
        now = time.monotonic()
        late = now - before - INTERVAL
        if late > TOLERATED:
            _Heart.late = (_Heart.late or 0.0) + late
        before = now
