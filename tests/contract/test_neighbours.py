"""Neighbours on real instances: each aggressor presses, is held by its limits, and is gone with its instance.

How much a victim loses depends on the host: these tests ask whether both were there, and what is left of them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isobench.core import deadlines
from isobench.core.errors import MeasurementError, StoppedShort
from isobench.planning import catalog
from isobench.processes.accounting import command_line, cpu_seconds, descendants, text_of
from isobench.scenarios import _pressing, neighbours
from isobench.scenarios._aggressors import AGGRESSORS, Aggressor
from isobench.scenarios._pressing import pressing
from tests.busy import soon
from tests.contract.opening import GUEST, opened

pytestmark = [pytest.mark.root, pytest.mark.tool("mmdebstrap"), pytest.mark.tool("fio")]

ROOT = Path(__file__).parents[2]
BY_NAME = {one.name: one for one in AGGRESSORS}
ENVIRONMENTS = [
    "process",
    "ns-all+cgroup",
    "handmade",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param(GUEST, marks=pytest.mark.libvirt),
]


def _theirs() -> dict[int, int]:
    """The processes of aggressors on this host, and their parents: no other has their user. In a guest they are not
    seen."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        numbers = [re.search(rf"^{key}:\t(\d+)", text, re.MULTILINE) for key in ("Uid", "PPid")]
        uid, parent = (int(number[1]) if number else 0 for number in numbers)
        if uid == _pressing._USER:
            found[int(status.parent.name)] = parent
    return found


def _first() -> int:
    """The first of the aggressor's processes: the probe, which started it, is root's."""
    theirs = _theirs()
    (pid,) = (pid for pid, parent in theirs.items() if parent not in theirs)
    return pid


def _await_none() -> None:
    until = time.monotonic() + deadlines.stretched(60)
    while _theirs() and time.monotonic() < until:
        time.sleep(0.1)
    assert _theirs() == {}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_victims_are_measured_alone_and_beside(name: str) -> None:
    """All of them, with limits and without; where one of the limits cannot be set on this host, it is said.

    The victims beside another are those alone: in guests, whose boots take a third of a minute, they are not repeated.
    """
    able = catalog.environments()[name].capabilities
    wanted = {"neighbour-cpu", "neighbour-fsync-limited", *([] if name == GUEST else ["neighbour-none"])}
    chosen = [one for one in neighbours.SCENARIOS if one.name in wanted and one.needs <= able]
    assert len(chosen) == len(wanted) - (name == "process")
    with opened(name) as sandbox:
        for scenario in chosen:
            try:
                found = scenario.measure(sandbox)
            except StoppedShort as short:
                if "disk" in short.reason:  # the work folder lies on none
                    continue
                raise
            without = {"round-trip"} if name == "handmade" else set()  # nobody may set its loopback up
            assert set(found) == {metric.name for metric in scenario.metrics} - without
            assert all(value >= 0 for value in found.values())
            _await_none()


def _sent_over_loopback(pid: int) -> int:
    line = next(
        line for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines() if line.strip().startswith("lo:")
    )
    return int(line.partition(":")[2].split()[1])


def _forks(pid: int) -> int:
    found = re.search(r"^processes (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def _written(pid: int) -> int:
    """Bytes that it and its children had written, or read, through system calls; files' names count for none."""
    total = 0
    for one in (pid, *descendants(pid)):
        try:
            text = Path(f"/proc/{one}/io").read_text()
        except OSError:
            continue
        total += sum(map(int, re.findall(r"^(?:rchar|wchar): (\d+)$", text, re.MULTILINE)))
    return total


def _spent(pid: int) -> float:
    return sum(cpu_seconds(one, with_children=True) for one in (pid, *descendants(pid)))


SIGNS: dict[str, tuple[Callable[[int], float], float]] = {
    "cpu": (_spent, 0.05),
    "memory": (_spent, 0.05),
    "cache": (_written, 1 << 20),
    "fork": (_forks, 100),
    "fsync": (_written, 4096),
    "dentry": (_spent, 0.01),
    "udp": (_sent_over_loopback, 100),
    "tcp": (_sent_over_loopback, 100),
}
"""What rises while it presses, and by how much at least within the time given."""


@pytest.mark.parametrize("aggressor", AGGRESSORS, ids=lambda one: one.name)
def test_each_aggressor_does_what_it_is_said_to_do(aggressor: Aggressor) -> None:
    """In a network of its own, in which nobody else sends; and nothing of it remains."""
    look, least = SIGNS[aggressor.name]
    with opened("ns-all+cgroup") as sandbox, pressing(aggressor, sandbox, limited=False):
        pid = _first()
        before, until = look(pid), time.monotonic() + deadlines.stretched(30)
        while look(pid) - before < least and time.monotonic() < until:
            time.sleep(0.05)
        assert look(pid) - before >= least
        assert len(_theirs()) <= _pressing.PROCESSES
    _await_none()


def test_limits_hold_it() -> None:
    """A forking one has no more processes than it may, though it goes on trying; a computing one half of a CPU."""
    with opened("ns-all+cgroup") as sandbox:
        with pressing(BY_NAME["fork"], sandbox, limited=True):
            most = max(len(_theirs()) for _ in range(20))
        assert 0 < most <= 64
        with pressing(BY_NAME["cpu"], sandbox, limited=True):
            pid = _first()
            began, before = time.monotonic(), _spent(pid)  # a pause between these two is not counted as its own
            time.sleep(2)
            had = (_spent(pid) - before) / (time.monotonic() - began)
        assert had < 0.5 * 1.3


WRONG = {
    "wants more of the disk": (("--name=large", "--rw=write", "--bs=1m", "--size=256m"), "cannot make its files"),
    "does not exist": (("--no-such-stressor", "1"), "cannot begin"),
    "ends too early": (("--cpu", "1", "--timeout", "1s"), "ended before its victims did"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_goes_wrong_is_one_reason(what: str) -> None:
    """And its victims' costs are not kept."""
    words, reason = WRONG[what]
    with (
        opened("process") as sandbox,
        pytest.raises(MeasurementError, match=f"^the aggressor {reason}: ."),
        pressing(AGGRESSORS[0]._replace(words=words), sandbox, limited=False),
    ):
        soon(lambda: all("State:\tZ" in text_of(f"/proc/{pid}/status") for pid in _theirs()))
    _await_none()


KILLED = [
    pytest.param("process", False, id="process"),
    pytest.param("process", True, id="process, its launcher as well"),
    pytest.param("docker", False, marks=pytest.mark.docker, id="docker"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """Not in /tmp, which may be mounted with nodev: the aggressor has devices."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="neighbours-") as folder:
        yield Path(folder)


@pytest.mark.parametrize(("name", "with_launcher"), KILLED)
def test_kill_9_ends_the_aggressor_too(place: Path, name: str, with_launcher: bool) -> None:
    """Whatever is killed, and without `clean`, which then finds no process to kill."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ISOBENCH_STATE": str(place / "state"),
        "ISOBENCH_WORK": str(place),
    }
    isobench = [sys.executable, "-m", "isobench"]
    words = ["run", "-e", name, "-s", "neighbour-fork", "--blocks", "50", "--no-report"]
    with subprocess.Popen(
        [*isobench, *words], cwd=place, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            until = time.monotonic() + deadlines.stretched(300)
            while not _theirs() and time.monotonic() < until:
                time.sleep(0.05)
            assert _theirs()
            if with_launcher:
                launchers = [pid for pid in descendants(run.pid) if b"\0launch\0" in command_line(pid)]
                assert launchers
                for pid in launchers:
                    os.kill(pid, signal.SIGKILL)
        finally:
            run.kill()
    _await_none()
    cleaned = subprocess.run([*isobench, "clean"], cwd=place, env=environ, capture_output=True, text=True)
    assert cleaned.returncode == 0 and "killed process" not in cleaned.stdout, cleaned.stdout + cleaned.stderr
    assert list(place.glob("isobench-*")) == []
