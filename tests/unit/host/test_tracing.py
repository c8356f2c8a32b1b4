"""What a line of a trace says, and what is said where nothing can be traced."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.core.errors import Unavailable
from isobench.host import tracing
from isobench.host.tracing import CALLS, FUNCTIONS, Recording

CALL = b"           probe-123     [001] .....  4711.123456: sys_enter: NR 39 (0, 1, 2, 3, 4, 5)"
MINUS = b"           probe-123     [001] .....  4711.123456: sys_enter: NR -1 (0, 1, 2, 3, 4, 5)"
HEAD = [b"# tracer: nop", b"#", b"# entries-in-buffer/entries-written: 2/2   #P:2", b""]
FUNCTION = b"    a b: c <-d-7       [000] ...1.     0.000001: __x64_sys_getppid <-do_syscall_64"
OF_A_MODULE = b"   probe-7       [000] d..2     0.000001: ext4_sync.isra.0 [ext4] <-vfs_fsync [kernel]"
IN_INTERRUPTS = [FUNCTION.replace(b"...1.", flags) for flags in (b"d.h1.", b"..s1.", b"d.H1.", b"d.Z1.")]


def _instance(folder: Path, lines: list[bytes], stats: str = "entries: 2\noverrun: 0\ndropped events: 0\n") -> Path:
    (folder / "tracing_on").write_text("1")
    (folder / "trace").write_bytes(b"\n".join([*HEAD, *lines, b""]))
    (folder / "per_cpu" / "cpu0").mkdir(parents=True)
    (folder / "per_cpu" / "cpu0" / "stats").write_text(stats)
    return folder


def test_each_name_counts_once(tmp_path: Path) -> None:
    """Whatever a program calls itself; the number -1 is no system call."""
    assert Recording(_instance(tmp_path, [CALL, CALL, MINUS]), CALLS).found() == (frozenset({"39"}), False)
    assert (tmp_path / "tracing_on").read_text() == "0"


def test_functions_in_interrupts_are_somebody_elses(tmp_path: Path) -> None:
    lines = [OF_A_MODULE, *IN_INTERRUPTS]
    assert Recording(_instance(tmp_path, lines), FUNCTIONS).found()[0] == {"ext4_sync.isra.0"}
    (tmp_path / "trace").write_bytes(FUNCTION + b"\n")
    assert Recording(tmp_path, FUNCTIONS).found()[0] == {"__x64_sys_getppid"}


@pytest.mark.parametrize("lost", ["overrun: 7\ndropped events: 0\n", "overrun: 0\ndropped events: 1\n"])
def test_what_was_lost_is_known(tmp_path: Path, lost: str) -> None:
    assert Recording(_instance(tmp_path, [CALL], lost), CALLS).found() == (frozenset({"39"}), True)


def test_processes_that_cannot_be_seen_are_not_recorded(tmp_path: Path) -> None:
    """Without tasks the kernel would record everybody."""
    with pytest.raises(Unavailable, match="cannot be seen"):
        Recording(tmp_path, CALLS).begin([])
    assert list(tmp_path.iterdir()) == []


def test_a_mount_that_is_refused_has_the_kernels_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a sweep finds nothing then."""

    def refused(number: int, *arguments: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(tracing, "shows_kernel_threads", lambda: True)
    monkeypatch.setattr(tracing, "_call", refused)
    monkeypatch.setattr(tracing, "_MOUNTED", Path("/nowhere"))
    with pytest.raises(Unavailable, match="tracefs cannot be mounted: Operation not permitted"), \
            tracing.recording(CALLS, [1]):  # fmt: skip
        pass
    assert tracing.sweep() == []


def test_ids_of_another_namespace_are_not_given_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would record other processes."""
    monkeypatch.setattr(tracing, "shows_kernel_threads", lambda: False)
    with pytest.raises(Unavailable, match="PID namespace"), tracing.recording(CALLS, [1]):
        pass
