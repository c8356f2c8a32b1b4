"""CPU time of processes: what the kernel's own clocks say."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from bench.accounting import cpu_seconds


def test_threads_that_have_ended_count() -> None:
    """All that the process has spent, as it sees it itself."""

    def work() -> None:
        while time.thread_time() < 0.05:
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    before = time.process_time()
    found = cpu_seconds(os.getpid())
    assert 0.05 <= before <= found <= time.process_time()


def test_ended_children_count_where_they_are_asked_for() -> None:
    """To the clock tick: no less than what they had when they ended, less a tick."""
    before = cpu_seconds(os.getpid(), with_children=True) - cpu_seconds(os.getpid())
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"], check=True)
    after = cpu_seconds(os.getpid(), with_children=True) - cpu_seconds(os.getpid())
    spent = os.times().children_user + os.times().children_system
    assert before < after <= spent + 2 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("with_children", [False, True])
def test_a_process_that_is_not_there_has_spent_nothing(with_children: bool) -> None:
    """Neither an error nor somebody else's time."""
    child = subprocess.Popen(["true"])
    child.wait()
    assert cpu_seconds(child.pid, with_children=with_children) == 0.0
    for never in (2**22 + 1, 0, -1):
        assert cpu_seconds(never, with_children=with_children) == 0.0
