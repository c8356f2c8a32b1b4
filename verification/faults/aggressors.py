"""Aggressors that do not keep to their bounds, and hosts that do not let them be bounded.

Beside each fault there are strangers: a process of the aggressors' user with the name of their program, a cgroup and a
file with that name. They are there afterwards.
"""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.scenarios._pressing import _USER
from verification.faults.disk import _tmpfs
from verification.faults.place import Line, Tally
from verification.faults.stopping import survivors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verification.faults.place import Place

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLER = _ROOT if (_ROOT / "cgroup.controllers").exists() else _ROOT / "cpu"
ENVIRONMENTS = ("process", "ns-all+cgroup", "docker")
_NO_ROOM = "are kept for others|No space left"
_SECONDS = 1800.0


def escapes(place: Place) -> Line:
    """Daemons that leave their parents, in blocks that end in order and in one whose harness is killed."""
    tally = Tally(place)
    with _strangers(place) as unharmed:
        for name in ENVIRONMENTS:
            before = place.before()
            code, said = place.call(*_run(name, "neighbour-daemon", 1), timeout=_SECONDS)
            measured = code in (0, 5) and place.last_run().series
            tally.add(unharmed() or ("" if measured else f"{name}: exit code {code}: {said[-300:]}"), before)
        for name in ENVIRONMENTS:
            before = place.before()
            process = place.start(*_run(name, "neighbour-daemon", 50))
            place.await_that(_presses, f"an aggressor in {name}", _SECONDS)
            process.kill()
            process.wait()
            living = survivors(place)
            code, said = place.call("clean")
            wrong = f"{name}: still there 5 s after its parent: {living[0]}" if living else ""
            tally.add(unharmed() or wrong or (f"clean: {code}: {said[-300:]}" if code else ""), before)
    note = f"in {', '.join(ENVIRONMENTS)}, each also with kill -9; strangers of the same user and name are untouched"
    return tally.line("an aggressor of daemons that leave their parents", note)


def full_disk(place: Place) -> Line:
    """The work folder is on a disk that is too small, and on one that somebody fills up during a block."""
    tally, work = Tally(place), place.folder / "work"
    with _strangers(place) as unharmed, _disk(place, "1G"):
        before = place.before()
        code, said = place.call(*_run("process", "neighbour-fsync", 1), timeout=_SECONDS)
        tally.add(unharmed() or _told(code, said, (5,), _NO_ROOM), before)
    with _strangers(place) as unharmed, _disk(place, "4G"):
        before = place.before()
        process = place.start(*_run("process", "neighbour-none,neighbour-fsync", 4))
        place.await_block(1, process, _SECONDS)
        size = _fill(work / "theirs")
        code = process.wait(_SECONDS)
        said = place.said.read_text(errors="replace")
        kept = (work / "theirs").stat().st_size == size
        (work / "theirs").unlink()
        tally.add(
            unharmed() or ("" if kept else "the stranger's file") or _told(code, said, (0, 1, 5), _NO_ROOM), before
        )
    return tally.line("disk full beside an aggressor", "it is not started, or its cells fail, each with one reason")


def limit(place: Place) -> Line:
    """A limit of writes where no disk is, and a tree of cgroups that cannot be written."""
    tally = Tally(place)
    with _strangers(place) as unharmed:
        with _tmpfs(place.folder / "work", "4g"):
            before = place.before()
            code, said = place.call(*_run("ns-all+cgroup", "neighbour-fsync-limited", 1), timeout=_SECONDS)
            tally.add(unharmed() or _told(code, said, (5,), "lies on no disk of its own"), before)
        before = place.before()
        subprocess.run(["mount", "-o", "remount,ro,bind", str(_CONTROLLER)], check=True)
        try:
            code, said = place.call(*_run("ns-all+cgroup", "neighbour-cpu-limited", 1), timeout=_SECONDS)
        finally:
            subprocess.run(["mount", "-o", "remount,rw,bind", str(_CONTROLLER)], check=True)
        tally.add(unharmed() or _told(code, said, (5,), "Read-only file system"), before)
    return tally.line("a limit of an aggressor that cannot be set", "nothing is measured without it; one reason each")


def _run(name: str, scenarios: str, blocks: int) -> tuple[str, ...]:
    return ("run", "-e", name, "--baseline", name, "-s", scenarios, "--no-report", "-v", "--blocks", str(blocks))


def _told(code: int, said: str, codes: tuple[int, ...], reason: str) -> str:
    """What is wrong with an outcome: its exit code is one of these, and what was said has a reason and no trace."""
    fine = code in codes and re.search(reason, said) and "Traceback" not in said and "please report" not in said
    return "" if fine else f"exit code {code}: {said[-400:]}"


def _users() -> set[int]:
    """The processes of the aggressors' user."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if re.search(rf"^Uid:\t{_USER}\t", status.read_text(), re.MULTILINE):
                found.add(int(status.parent.name))
    return found


def _presses() -> bool:
    """More than the stranger."""
    return len(_users()) > 1


@contextmanager
def _strangers(place: Place) -> Iterator[Callable[[], str]]:
    """What resembles an aggressor and is none; gives what tells which of it is gone."""
    cgroup, file = _CONTROLLER / "stress-ng", place.folder / "stress-ng"
    words = ["stress-ng", "9999"]
    process = subprocess.Popen(words, executable="/bin/sleep", user=_USER, group=_USER, extra_groups=(), cwd="/")
    cgroup.mkdir()
    file.write_text("theirs")

    def unharmed() -> str:
        there = {"process": process.poll() is None, "cgroup": cgroup.is_dir(), "file": file.exists()}
        return ", ".join(f"the stranger's {what} is gone" for what, still in there.items() if not still)

    try:
        yield unharmed
    finally:
        process.kill()
        process.wait()
        cgroup.rmdir()
        file.unlink()


@contextmanager
def _disk(place: Place, size: str) -> Iterator[None]:
    """A file system of its own as the work folder, in a file with holes."""
    image, work = place.folder / "disk", place.folder / "work"
    subprocess.run(["truncate", f"--size={size}", str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(work)], check=True)
    try:
        work.chmod(0o711)
        yield
    finally:
        subprocess.run(["umount", str(work)], check=True)
        image.unlink()


def _fill(file: Path) -> int:
    """Take all that is free; how much that was."""
    with file.open("wb") as taken:
        free = os.fstatvfs(taken.fileno())
        size = free.f_bavail * free.f_frsize
        while size > 0:
            try:
                os.posix_fallocate(taken.fileno(), 0, size)
                break
            except OSError:
                size -= 1 << 20
        with suppress(OSError):
            while True:
                size += os.pwrite(taken.fileno(), bytes(4096), size)
    return file.stat().st_size


ROWS: dict[str, Callable[[Place], Line]] = {
    "aggressor-escapes": escapes,
    "aggressor-full-disk": full_disk,
    "aggressor-limit": limit,
}
