"""SIGINT, SIGTERM and SIGHUP end a program in order: they interrupt its work, but never its setup and cleanup.

Inside `orderly` a signal is remembered, and takes effect as soon as work is `interruptible`, or at the end. So a signal
cannot come between a change on the host and the record by which it is undone.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from isobench.core import deadlines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 20.0
"""Seconds that cleanup has after the first signal, before another one may interrupt it; more on a slow host."""


def name_of(number: int) -> str:
    """SIGKILL for 9; "signal 99" for a number without a name."""
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


class _State:
    """The signals received, and whether one may take effect now."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.may_raise = False
        self.waiting = False
        self.first: float | None = None

    def came(self, number: int, frame: FrameType | None) -> None:
        """The handler. It raises once: after that, cleanup is under way."""
        now = time.monotonic()
        impatient = self.first is not None and now - self.first > deadlines.stretched(self.patience)
        if self.may_raise or impatient:
            self.may_raise, self.waiting, self.first = False, False, now
            raise KeyboardInterrupt
        self.waiting = self.waiting or self.first is None
        self.first = self.first or now


_states: list[_State] = []
"""The states of the `orderly` blocks that this thread is in, the innermost last."""


def ignore() -> None:
    """For a program's last moments: the work is done, and another signal must not change the exit code.

    Before it ends, Python resets signals with a handler to their default action; an ignored one stays ignored.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def orderly(patience: float = PATIENCE) -> Iterator[None]:
    """The three signals interrupt what is `interruptible` inside, as Ctrl-C does, and nothing else.

    One that arrives when nothing is interruptible any more raises KeyboardInterrupt at the end. Only the main thread
    may call this.
    """
    state = _State(patience)
    before = {number: signal.signal(number, state.came) for number in ENDING}
    _states.append(state)
    try:
        yield
    finally:
        _states.remove(state)
        for number, handler in before.items():
            signal.signal(number, handler)
    if state.waiting:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Code that a signal may interrupt, also within code that it may interrupt. Has no effect outside `orderly`."""
    if not _states:
        yield
        return
    state = _states[-1]
    around = state.may_raise
    state.may_raise = state.first is None  # cleanup after a signal may wait, too, and is not interrupted
    try:
        if state.waiting:
            state.may_raise, state.waiting = False, False
            raise KeyboardInterrupt
        yield
    finally:
        state.may_raise = around and state.first is None
