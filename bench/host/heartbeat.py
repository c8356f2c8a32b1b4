"""Whether this process itself was stopped: a thread that sleeps a tenth of a second and measures how late it wakes.

It detects a stop by a signal, a frozen or throttled cgroup of any level, a paused machine, and a lack of CPU time. No
single counter of the host covers all of these.
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
"""Seconds that a beat may be late, as happens on a busy host."""


class _Heart:
    """The total seconds by which beats were too late; None outside of `beating`."""

    late: float | None = None


def late_seconds() -> float | None:
    """Seconds for which this process was stopped since `beating` began; None outside of it."""
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
