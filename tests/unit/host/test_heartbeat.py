"""A process that stood still knows for how long, whatever held it back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from isobench.host import heartbeat

BEATING = """
import sys
from isobench.host import heartbeat
with heartbeat.beating():
    print("begun", flush=True)
    sys.stdin.readline()
    import time
    time.sleep(0.5)  # at least one beat after the stop
    print(heartbeat.late_seconds())
"""


def test_a_stop_by_a_signal_is_seen() -> None:
    """While it waits for something, when no counter of the scheduler's would tell."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEATING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate("\n", timeout=60)
    assert float(said) >= 0.9


def test_nothing_is_counted_where_nothing_beats() -> None:
    """Before a run and after it there is no such counter."""
    with heartbeat.beating():
        assert heartbeat.late_seconds() is not None
    assert heartbeat.late_seconds() is None
