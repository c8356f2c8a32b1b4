"""Whether more instances fit: by memory, by process ids."""

from __future__ import annotations

import pytest

from bench import capacity
from bench.capacity import PID_RESERVE, RESERVE, Room

GIB = 1 << 30


class Host:
    """What is free, as a test scripts it."""

    memory = 20.0 * GIB
    pids = 30_000.0


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(capacity, "available_memory", lambda: host.memory)
    monkeypatch.setattr(capacity, "pids_free", lambda: host.pids)
    return host


def test_what_is_not_known_is_not_refused(free: Host) -> None:
    """Before the first instance lived there is nothing to reckon with."""
    assert Room().refuses(64) == ""


def test_memory_is_kept_in_reserve(free: Host) -> None:
    """Two instances took 2 GiB: 14 more fit above the reserve, 15 do not, and the reason names both."""
    room = Room()
    free.memory -= 2 * GIB
    room.learn(2)
    assert (free.memory - RESERVE) / GIB == 14
    assert room.refuses(14) == ""
    assert "15 more instances at 1024 MiB each" in room.refuses(15)


def test_process_ids_are_kept_in_reserve(free: Host) -> None:
    """The same for tasks."""
    room = Room()
    free.pids -= 100
    room.learn(10)
    fits = int((free.pids - PID_RESERVE) // 10)
    assert room.refuses(fits) == ""
    assert "process ids" in room.refuses(fits + 1)


def test_this_host_has_process_ids() -> None:
    """Read from the real files: below the kernel's limit, more than none."""
    assert 0 < capacity.pids_free() < 2**22
