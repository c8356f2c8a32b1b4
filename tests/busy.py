"""For tests of clocks, memory and processes on a machine that others keep busy: another measurement, and patience.

A bound that noise alone can pass, or fail, is asked for in one of a few measurements; what has to hold always is not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def once(measure: Callable[[], T], is_so: Callable[[T], bool], tries: int = 4) -> T:
    """The first of these measurements that is so; if none is, the test fails and shows them all."""
    seen: list[T] = []
    while len(seen) < tries:
        seen.append(measure())
        if is_so(seen[-1]):
            return seen[-1]
    pytest.fail(f"in none of {tries} measurements: {seen}")


def soon(is_so: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether it is so, or becomes so within a time that no machine needs. It is looked at once more in the end: this
    process may have been held back meanwhile."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return is_so()
        time.sleep(0.02)
    return True
