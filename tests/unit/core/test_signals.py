"""Signals break off work, and never what makes or takes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from isobench.core import deadlines
from isobench.core.signals import ENDING, interruptible, name_of, orderly


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of the test session, put back whatever happens; nobody else's are left."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    deadlines.begin(None)
    after = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDING)
def test_work_is_broken_off(number: int) -> None:
    """By each of the three, and only once: what follows is the end."""
    done = []
    with pytest.raises(KeyboardInterrupt), orderly():
        try:
            with interruptible():
                send(number)
                done.append("not broken off")
        finally:
            send(number)
            done.append("taken away")
    assert done == ["taken away"]


def test_work_within_work_leaves_it_interruptible() -> None:
    """As when a daemon is awaited in the midst of a run; cleanup after a signal is not interrupted for all that."""
    done = []
    with pytest.raises(KeyboardInterrupt), orderly():
        try:
            with interruptible():
                with interruptible():
                    done.append("awaited")
                send()
                done.append("not broken off")
        finally:
            with interruptible():
                done.append("taking away")
            send()
            done.append("taken away")
    assert done == ["awaited", "taking away", "taken away"]


def test_making_is_not_broken_off() -> None:
    """What came before the work is heeded when it would begin."""
    done = []
    with pytest.raises(KeyboardInterrupt), orderly():
        send()
        done.append("made")
        try:
            with interruptible():
                done.append("begun")
        finally:
            done.append("taken away")
    assert done == ["made", "taken away"]


def test_taking_away_is_not_broken_off() -> None:
    """Also by the first signal, which is heeded afterwards."""
    done = []
    with pytest.raises(KeyboardInterrupt), orderly():
        with interruptible():
            done.append("worked")
        send()
        with interruptible():
            done.append("begun")
    assert done == ["worked"]
    with pytest.raises(KeyboardInterrupt), orderly():
        send()
        done.append("taken away")
    assert done == ["worked", "taken away"]


def test_patience_ends() -> None:
    """Who asks again after a while is heeded at once; who asks at once has to wait."""
    done = []
    with pytest.raises(KeyboardInterrupt), orderly(patience=-1):
        send()
        send()
        done.append("went on")
    with pytest.raises(KeyboardInterrupt), orderly(patience=3600):
        send()
        send()
        done.append("waited")
    assert done == ["waited"]


def test_a_slow_host_has_more_patience() -> None:
    """There taking away takes longer, too: a second signal leaves nothing behind that a usual host would not."""
    deadlines.learn_start(0.060)  # thirty times as much as is usual
    done = []
    with pytest.raises(KeyboardInterrupt), orderly(patience=0.5):
        send()
        time.sleep(0.6)
        send()
        done.append("taken away")
    assert done == ["taken away"]


def test_an_error_is_told_before_a_signal() -> None:
    """And a wait after the first signal goes on: it belongs to the end."""
    with pytest.raises(ValueError, match="wrong"), orderly():
        send()
        raise ValueError("wrong")
    waited = []
    with pytest.raises(KeyboardInterrupt), orderly():
        try:
            with interruptible():
                send()
        finally:
            with interruptible():
                send()
                waited.append(True)
    assert waited


def test_without_order_nothing_changes() -> None:
    """Where nobody has asked for it, as in a library's call."""
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is not None


@pytest.mark.parametrize("number", ENDING)
def test_the_last_moments_keep_the_exit_code(number: int) -> None:
    """Python gives handlers up while it ends: one more signal would end it by itself then, with everything done."""
    code = f"""
import os, signal, sys
from isobench.core.signals import ignore
class Late:
    def __del__(self):
        kill(me, {int(number)})
kill, me, late = os.kill, os.getpid(), Late()
signal.signal({int(number)}, lambda *_: None)
sys.modules["late"] = late
ignore()
sys.exit(130)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 130


def test_a_number_has_a_name_or_none() -> None:
    assert [name_of(number) for number in (9, 99)] == ["SIGKILL", "signal 99"]
