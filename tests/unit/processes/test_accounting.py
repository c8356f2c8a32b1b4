"""CPU time of processes: what the kernel's own clocks say."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from isobench.processes.accounting import children, cpu_seconds, descendants, is_vmm, kernel_threads, process_name
from tests.busy import once


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


def test_kernel_threads_are_the_kernels() -> None:
    """Every one has the flag PF_KTHREAD of include/linux/sched.h, and no process with it is missing."""
    if process_name(2) != "kthreadd":
        assert kernel_threads() == {}
    else:  # some may come or go in between, many at once where a disk is busy
        once(lambda: kernel_threads().keys() ^ _flagged(), lambda differing: len(differing) <= 3, tries=10)
        assert len(kernel_threads()) > 3


def _flagged() -> set[int]:
    flagged = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[6]) & 0x00200000:
                flagged.add(int(entry.name))
    return flagged


def test_a_familys_tree() -> None:
    """Children are those of all threads, descendants theirs too."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as shell:
        try:
            while not children(shell.pid):
                time.sleep(0.001)
            assert shell.pid in children(os.getpid())
            assert set(children(shell.pid)) <= set(descendants(os.getpid()))
        finally:
            for pid in (*children(shell.pid), shell.pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("qemu-system-x86_64", True), ("qemu-system-aarch64", True), ("qemu-kvm", True), ("qemu-img", False)],
)
def test_qemu_is_known_by_every_name_that_distributions_give_it(tmp_path: Path, name: str, expected: bool) -> None:
    """Red Hat's is qemu-kvm."""
    shutil.copy("/bin/sleep", tmp_path / name)
    with subprocess.Popen([tmp_path / name, "60"]) as process:
        try:
            while process_name(process.pid) != name[:15]:  # exec names it after it has let its parent go on
                time.sleep(0.01)
            assert is_vmm(process.pid) == expected
        finally:
            process.kill()
