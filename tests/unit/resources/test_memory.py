"""Memory of processes and cgroups: whose count it is, and that no part is taken for the whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isobench.resources import memory
from isobench.resources.memory import ProcessMemory, charged, process_memory


def cgroup(folder: Path, *pids: int, counts: bool = True, threaded: bool = False) -> Path:
    """A folder as the kernel shows one: a threaded cgroup lists no processes and has no count."""
    folder.mkdir(parents=True)
    (folder / "cgroup.type").write_text("threaded\n" if threaded else "domain\n")
    if counts:
        (folder / "memory.current").write_text("4096\n")
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
    return folder


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As libvirt and systemd make it on version 2, with a stranger beside the guest."""
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    cgroup(tmp_path / "machine.slice")
    cgroup(tmp_path / "machine.slice/other.scope", 9)
    cgroup(tmp_path / "machine.slice/guest.scope")
    cgroup(tmp_path / "machine.slice/guest.scope/libvirt", 7, 8)
    cgroup(tmp_path / "machine.slice/guest.scope/libvirt/emulator", counts=False, threaded=True)
    return tmp_path / "machine.slice"


def test_a_threaded_cgroup_is_counted_by_its_domain(tree: Path) -> None:
    """QEMU's process is in a child that has no count of its own."""
    emulator = tree / "guest.scope/libvirt/emulator"
    assert charged(emulator, [7, 8]) == tree / "guest.scope/libvirt"
    assert charged(tree / "guest.scope", [7, 8]) == tree / "guest.scope"


def test_a_controller_that_is_not_handed_down_is_looked_for_above(tree: Path) -> None:
    """As far as nobody else's processes are there."""
    (tree / "guest.scope/libvirt/memory.current").unlink()
    emulator = tree / "guest.scope/libvirt/emulator"
    assert charged(emulator, [7, 8]) == tree / "guest.scope"
    assert charged(emulator, [7]) is None
    (tree / "guest.scope/memory.current").unlink()
    assert charged(emulator, [7, 8]) is None  # machine.slice has the stranger, too
    (tree / "memory.current").unlink()
    assert charged(emulator, [7, 8, 9]) is None


def test_nobody_is_counted_outside_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cgroup that this namespace does not show has no folder here."""
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    assert charged(tmp_path / "../elsewhere", [1]) is None


def test_the_sum_of_processes() -> None:
    """One that has ended adds nothing."""
    own = process_memory([os.getpid()])
    assert own.rss >= own.pss > 0
    assert process_memory([os.getpid(), 2**22 + 1]).rss > 0
    assert process_memory([]) == ProcessMemory(0, 0, 0)


def test_a_part_is_not_taken_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one process may not be read there is no sum."""
    real = Path.read_text

    def read(path: Path, **options: str) -> str:
        if path == Path("/proc/1/smaps_rollup"):
            raise PermissionError
        return real(path, **options)

    monkeypatch.setattr(Path, "read_text", read)
    assert process_memory([os.getpid(), 1]) == ProcessMemory(0, 0, 0)
