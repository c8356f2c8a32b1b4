"""One run at a time on a host, and who can refuse whom."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.core.errors import UsageError
from isobench.lifecycle import measuring

STRANGER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
HOLD = """
import sys
from pathlib import Path
from isobench.lifecycle import measuring
measuring.state_dir = lambda: Path(sys.argv[1])
measuring.ROOTS = Path(sys.argv[2])
with measuring.measuring(wait=False):
    print(flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder, and a place for root's lock that everybody can reach."""
    place = Path("/run" if os.geteuid() == 0 else tmp_path_factory.getbasetemp()) / f"isobench-test-{os.getpid()}"
    place.mkdir(mode=0o755)
    monkeypatch.delenv("ISOBENCH_STATE", raising=False)
    monkeypatch.setattr(measuring, "state_dir", lambda: place)
    monkeypatch.setattr(measuring, "ROOTS", place / "measuring")
    yield place
    for path in place.rglob("*"):
        if not path.is_dir():
            path.unlink()
    for path in (*place.iterdir(), place):
        path.rmdir()


def holding(place: Path, *before: str, state: str = ".") -> subprocess.Popen[bytes]:
    """A process that has the lock."""
    command = [*before, sys.executable, "-c", HOLD, str(place / state), str(place / "measuring")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_second_is_refused_with_the_pid_or_waits(place: Path) -> None:
    """The lock goes with its process, however that ends."""
    holder = holding(place)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        refused = pytest.raises(UsageError, match=rf"on this host \(pid {holder.pid}\)")
        for _ in range(2):
            with refused, measuring.measuring(wait=False):
                pass
        killing = threading.Timer(0.3, holder.kill)
        killing.start()
        with measuring.measuring(wait=True):
            assert holder.wait(60) == -signal.SIGKILL
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("apart", [False, True])
def test_who_measures_can_be_asked_without_disturbing(
    place: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    """Also of a run that stands apart, whose lock alone tells; asking takes no lock, and one's own run is no other."""
    if apart:
        monkeypatch.setenv("ISOBENCH_STATE", str(place))
    holder = holding(place)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        assert holder.pid in measuring.measures_now()  # beside others of this machine
        holder.communicate(b"\n", timeout=60)
        assert holder.pid not in measuring.measures_now()
        with measuring.measuring(wait=False):
            assert os.getpid() not in measuring.measures_now()
    finally:
        holder.kill()
        holder.communicate()


def test_who_sets_the_state_folder_stands_apart(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a folder of his own he neither refuses nor is refused."""
    (place / "other").mkdir()
    with measuring.measuring(wait=False), monkeypatch.context() as apart:
        apart.setenv("ISOBENCH_STATE", str(place / "other"))
        apart.setattr(measuring, "state_dir", lambda: place / "other")
        with measuring.measuring(wait=False):
            pass


def test_where_there_can_be_no_lock(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the way, and what to set instead; nothing is measured without."""

    def no_locks(descriptor: int, *, wait: bool) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as without:
        without.setattr(measuring, "try_lock", no_locks)
        with pytest.raises(UsageError, match="cannot lock files in") as told, measuring.measuring(wait=False):
            pass
        assert told.value.remedy == "set ISOBENCH_STATE"
    (place / "isobench.lock").unlink()
    (place / "isobench.lock").mkdir()
    with pytest.raises(UsageError, match=r"cannot make the lock in .*: Is a dir"), measuring.measuring(wait=False):
        pass


@pytest.mark.root
@pytest.mark.tool("setpriv")
def test_roots_run_refuses_another_users(place: Path) -> None:
    """He learns the pid, also from another network namespace; when root has ended he is let in."""
    (place / "his").mkdir()
    os.chown(place / "his", 65534, 65534)
    with measuring.measuring(wait=False):
        for way in ((), ("unshare", "--net")):
            process = holding(place, *way, *STRANGER, state="his")
            assert process.communicate(timeout=60)[0] == b"" and process.returncode == 1
    process = holding(place, *STRANGER, state="his")
    assert process.communicate(b"\n", timeout=60)[0] == b"\n" and process.returncode == 0


@pytest.mark.root
@pytest.mark.tool("setpriv")
def test_nobody_is_refused_by_a_stranger(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """He holds all that he can hold, and root is told whom he measures beside."""
    (place / "isobench.lock").write_text("")
    (place / "isobench.lock").chmod(0o644)  # as of an older version
    (place / "his").mkdir()
    os.chown(place / "his", 65534, 65534)
    with measuring.measuring(wait=False):
        pass
    holder = holding(place, *STRANGER, state="his")
    grabbing = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH)"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind("\0isobench-measuring")
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"\n"
            grab = [*STRANGER, sys.executable, "-c", grabbing, str(place / "isobench.lock")]
            assert b"Permission denied" in subprocess.run(grab, stderr=subprocess.PIPE, check=False).stderr
            capsys.readouterr()
            with measuring.measuring(wait=False):
                assert f"user 65534 is also measuring (pid {holder.pid})" in capsys.readouterr().err
        finally:
            holder.kill()
            holder.communicate()


def test_another_programs_lock_is_not_ours(place: Path) -> None:
    """A folder that ISOBENCH_STATE names may hold one (dpkg's): it keeps its content and its mode."""
    (place / "lock").write_text("12345 another program")
    (place / "lock").chmod(0o640)
    with measuring.measuring(wait=False):
        assert (place / "isobench.lock").read_text() == str(os.getpid())
    assert (place / "lock").read_text() == "12345 another program"
    assert (place / "lock").stat().st_mode & 0o777 == 0o640
