"""Whether more instances fit: by memory, by process ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.processes import accounting
from isobench.resources import capacity
from isobench.resources.capacity import MOST_RESERVE, PID_RESERVE, Capacity

GIB = 1 << 30


class Host:
    """What is free, as a test scripts it."""

    total = 24 * GIB
    memory = 20.0 * GIB
    pids = 30_000.0


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(capacity, "available_memory", lambda: host.memory)
    monkeypatch.setattr(capacity, "pids_free", lambda: host.pids)
    monkeypatch.setattr(capacity, "text_of", lambda file: f"MemTotal: {host.total >> 10} kB")
    return host


def test_what_is_not_known_is_not_refused(free: Host) -> None:
    """Before the first instance lived there is nothing to reckon with."""
    assert Capacity().refuses(64) == ""


def test_memory_is_kept_in_reserve(free: Host) -> None:
    """Two instances took 2 GiB: 14 more fit above the reserve, 15 do not, and the reason names both."""
    room = Capacity()
    free.memory -= 2 * GIB
    room.learn(2)
    assert (free.memory - MOST_RESERVE) / GIB == 14
    assert room.refuses(14) == ""
    assert "15 more instances at 1024 MiB each" in room.refuses(15)


@pytest.mark.parametrize(("total", "reserve"), [(64, 4.0), (16, 4.0), (4, 1.0), (1, 0.25)])
def test_a_small_host_keeps_a_quarter(free: Host, total: int, reserve: float) -> None:
    """4 GiB on a large host; on a small one they would be all that there is, and nothing would be measured."""
    free.total = total * GIB
    assert capacity.memory_reserve() == reserve * GIB
    free.memory = (reserve + 0.65) * GIB
    room = Capacity()
    free.memory -= 0.1 * GIB
    room.learn(1)
    assert room.refuses(5) == ""
    assert f"less than {reserve:.1f} GiB" in room.refuses(6)


def test_memory_that_is_not_known_keeps_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc does not say how much there is."""
    monkeypatch.setattr(capacity, "text_of", lambda file: "")
    assert capacity.memory_reserve() == MOST_RESERVE


def test_process_ids_are_kept_in_reserve(free: Host) -> None:
    """The same for tasks."""
    room = Capacity()
    free.pids -= 100
    room.learn(10)
    fits = int((free.pids - PID_RESERVE) // 10)
    assert room.refuses(fits) == ""
    assert "process ids" in room.refuses(fits + 1)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("9:name=systemd:/\n8:pids:/a\n0::/\n", "/sys/fs/cgroup/pids/a"),
        ("4:pids,memory:/a:b\n", "/sys/fs/cgroup/pids/a:b"),
        ("0::/user.slice\n", "/sys/fs/cgroup/user.slice"),
        ("0\n\n7:pids\n1:cpu:/\n", None),
    ],
)
def test_which_cgroup_counts_tasks(text: str, folder: str | None) -> None:
    """Version 1's hierarchy for it before version 2's tree; broken lines are passed over."""
    found = accounting.controller_folder(text, "pids", Path("/sys/fs/cgroup"))
    assert found == (None if folder is None else Path(folder))


def test_limits_and_tasks_that_cannot_be_read_are_none() -> None:
    """A limit is a number; a host that does not say how many tasks there are has none."""
    assert [capacity.parse_limit(text) for text in ("7", "max", "", "-3", "1e3")] == [7.0, *[float("inf")] * 4]
    assert [capacity.parse_tasks(text) for text in ("0.0 0.0 0.0 2/321 99", "", "a/b")] == [321, 0, 0]


def test_this_host_has_process_ids() -> None:
    """Read from the real files: below the kernel's limit, more than none."""
    assert 0 < capacity.pids_free() < 2**22
