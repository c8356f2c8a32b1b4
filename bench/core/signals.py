"""SIGINT, SIGTERM and SIGHUP end a program in order: they break off its work, and never its making and taking away.

Inside `orderly` a signal is remembered, and heeded as soon as work may be broken off (`interruptible`) or at the end.
So there is no moment between what was changed on the host and the word to whoever changes it back.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 20.0
"""Seconds that taking things away has from the first signal on, before another one may cut it short."""


class _State:
    """What has come, and whether it may be heeded now."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.may_raise = False
        self.waiting = False
        self.first: float | None = None

    def came(self, number: int, frame: FrameType | None) -> None:
        """The handler. It raises once: what follows is taking away already."""
        now = time.monotonic()
        impatient = self.first is not None and now - self.first > self.patience
        if self.may_raise or impatient:
            self.may_raise, self.waiting, self.first = False, False, now
            raise KeyboardInterrupt
        self.waiting = self.waiting or self.first is None
        self.first = self.first or now


_states: list[_State] = []
"""Those of the blocks that this thread is in, the innermost last."""


def ignore() -> None:
    """For a program's last moments: everything is done, and one more signal must not change the exit code.

    Python gives a signal that has a handler its default action back before it ends; an ignored one stays ignored.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def orderly(patience: float = PATIENCE) -> Iterator[None]:
    """The three signals break off what is `interruptible` inside, as Ctrl-C does, and nothing else.

    One that came when nothing could be broken off any more raises KeyboardInterrupt at the end. Only the main thread
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
    """What may be broken off. Outside `orderly` it changes nothing."""
    if not _states:
        yield
        return
    state = _states[-1]
    state.may_raise = state.first is None  # what is taken away after a signal waits as well, and is not broken off
    try:
        if state.waiting:
            state.may_raise, state.waiting = False, False
            raise KeyboardInterrupt
        yield
    finally:
        state.may_raise = False
