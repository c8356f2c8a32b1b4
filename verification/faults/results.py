"""Hostile run folders (verification/faults/kinds.py) under every command that reads results.

Each exits with 0, 2 or 5 and one line that says why, within a minute of CPU time and four gigabytes, and prints no
terminal control sequence. Each kind has a process of its own, forked once everything is imported.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from isobench import cli
from isobench.core import terminal
from isobench.results import store
from verification.faults.kinds import KINDS
from verification.faults.place import Line, Tally

if TYPE_CHECKING:
    from verification.faults.place import Place

CPU_SECONDS, BYTES, WALL_SECONDS = 60, 4 << 30, 600
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def commands(good: Path, bad: Path) -> list[list[str]]:
    """All commands that read a run or a history of runs."""
    results = str(good.parent.parent)
    return [
        ["report", str(bad), "--out", "out"],
        ["report", str(good), "--out", "out", "--compare", str(bad)],
        ["compare", str(good), str(bad)],
        ["compare", str(bad), str(good), "--across-hosts", "--json"],
        ["trend", results],
        ["trend", results, "--json"],
        ["site", results, "--out", "pages"],
        ["site", results, "--out", "pages", "--json"],
        *(["export", str(bad), "--to", form, "--out", "exported"] for form in ("csv", "openmetrics", "junit", "otava")),
        ["run", "-e", "process,ns-mnt", "-s", "startup", "--dry-run", "--out", results],
    ]


def hostile(place: Place) -> Line:
    """A good run, and beside it every kind in turn."""
    tally = Tally(place)
    words = ("run", "-e", "process,ns-mnt", "-s", "startup,memory", "--no-report", "--blocks", "6", "-q")
    before = place.before()
    code, said = place.call(*words)
    runs = list(store.find_runs(place.folder / "results"))
    if code not in (0, 5) or not runs:
        tally.add(f"the good run: {code}: {said[-300:]}", before)
        return tally.line("results that no run leaves", "")
    _import_all(runs[-1], place.folder)
    for kind in KINDS:
        before = place.before()
        tally.add(tried(runs[-1], kind, place.folder / "hostile"), before)
    return tally.line("results that no run leaves", "every command that reads them exits with 0, 2 or 5 and a reason")


def tried(good: Path, kind: str, folder: Path) -> str:
    """What went wrong with one kind, or nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    stand, made = (folder / "results" / good.parent.name / name for name in ("20260101T000000Z", "20270101T000000Z"))
    for target in (stand, made):
        shutil.copytree(good, target)
    KINDS[kind](made)
    folders = [Path(os.fsdecode(path)) for path in _folders(os.fsencode(folder / "results"))]
    bad = next((path for path in folders if path.name != stand.name), stand)
    stand = next((path for path in folders if path.name == stand.name), stand)
    said = folder / "said"
    child = os.fork()
    if child == 0:
        os._exit(_child(stand, bad, folder, said))
    deadline = time.monotonic() + WALL_SECONDS
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return f"{kind}: hangs: {said.read_text(errors='replace')[-200:]}"
    words = said.read_text(errors="replace")
    shutil.rmtree(folder, ignore_errors=True)
    if status:
        return f"{kind}: ended with {os.waitstatus_to_exitcode(status)}: {words[-300:]!r}"
    return ""


def _folders(results: bytes) -> list[bytes]:
    return [
        b"/".join((results, host, run)) for host in os.listdir(results) for run in os.listdir(results + b"/" + host)
    ]


def _child(good: Path, bad: Path, folder: Path, said: Path) -> int:
    """Run every command in this process; returns 0 if all ended as they should."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    os.chdir(folder)
    file = os.open(said, os.O_CREAT | os.O_RDWR | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.setsid()
    terminal.prepare()
    for words in commands(good, bad):
        os.ftruncate(file, 0)
        print(*(os.fsencode(word) for word in words))
        sys.stdout.flush()
        began, at = time.process_time(), os.lseek(file, 0, os.SEEK_END)
        code = cli.main(words)
        sys.stdout.flush()
        taken, text = time.process_time() - began, said.read_text(errors="surrogateescape")[at:]
        last = text.strip().splitlines()[-3:]  # with --json a document that names the error is there, too
        wrong = code not in (0, 1, 2, 5) or (code == 2 and "\nisobench: " not in f"\n{text}")
        if wrong or taken > CPU_SECONDS or _CONTROLS.search(text):
            print(f"\nexit code {code} after {taken:.1f} s: {_CONTROLS.search(text)}: {last}")
            sys.stdout.flush()
            return 1
    return 0


def _import_all(good: Path, folder: Path) -> None:
    """Import everything, so that each fork has it."""
    target = folder / "imported"
    for words in commands(good, good)[:5]:
        null = os.open(os.devnull, os.O_WRONLY)
        kept = os.dup(1)
        os.dup2(null, 1)
        try:
            cli.main([str(target) if word == "out" else word for word in words])
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
            os.close(null)
    shutil.rmtree(target, ignore_errors=True)


if __name__ == "__main__":
    run, place = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    place.mkdir(parents=True, exist_ok=True)
    _import_all(run, place)
    for name in sys.argv[3:] or KINDS:
        began = time.monotonic()
        found = tried(run, name, place / "hostile") or "fine"
        print(f"{time.monotonic() - began:5.1f} s  {name}: {found}", flush=True)
