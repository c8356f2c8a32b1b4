"""Deadlines: all scale with one factor, set by `--timeout` or learned from the host.

The constants hold for a usual host. On a slower one (nested virtualisation, an emulated CPU) all deadlines are
extended: by how much slower a raw process starts there (`launcher.learn_deadlines`), and by how long the slowest
environment took in its smoke test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")

READY = 60.0
"""Seconds from the request for an instance to its ready line."""
LIFETIME = 2 * READY
"""Seconds from the request for an instance until it is gone."""

LONGEST = 3600.0
"""Seconds: the maximum of `--timeout`. What is not ready after an hour cannot be measured in blocks."""

_USUAL_START = 0.002
"""Seconds that a raw process takes at most on a usual host, from the request to its ready line."""
_MOST = 30.0
"""Upper limit of the learned factor: whatever hangs must end."""
_LIVES = 10.0
"""How long an instance may live, as a multiple of its environment's smoke test."""

_chosen: float | None = None
_learned = 1.0


def begin(chosen: float | None) -> None:
    """Forget what was learned. `chosen` is the seconds an instance has to become ready; None: learn them."""
    global _chosen, _learned
    _chosen, _learned = chosen, 1.0


def learn_start(seconds: float) -> None:
    """Learn from the seconds that a raw process takes here from the request to its ready line."""
    _learn(seconds / _USUAL_START)


def learn_smoke_test(seconds: float) -> None:
    """Learn from the seconds of an environment's smoke test: launching it once and letting it end."""
    _learn(seconds * _LIVES / LIFETIME)


def ready() -> float:
    """Seconds that an instance has to become ready."""
    return READY * _factor()


def first() -> float:
    """Seconds that the first instance of an environment has to become ready. The others' deadline is learned from it.

    A guest without KVM on an emulated CPU is emulated twice: its slowdown is about the square of a raw process's.
    """
    return READY * min(_MOST, max(1.0, _learned) ** 2) if _chosen is None else ready()


def scaled(usual: float = LIFETIME) -> float:
    """Seconds from the request for an instance until it must be gone, or its cell fails."""
    return usual * _factor()


def stretched(usual: float) -> float:
    """Seconds for any other operation that takes longer on a slower host: never fewer than usual."""
    return usual * max(1.0, _factor())


def within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """Call a function that has no deadline of its own, or only one per byte. Raises `TimeoutError`.

    After that error its thread remains until the call ends.
    """
    import threading

    given: list[_Answer] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            given.append(call())
        except Exception as error:
            failed.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    if failed:
        raise failed[0]
    if not given:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return given[0]


def _learn(factor: float) -> None:
    global _learned
    _learned = min(_MOST, max(_learned, factor))


def _factor() -> float:
    return _learned if _chosen is None else _chosen / READY
