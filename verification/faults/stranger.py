"""A hostile local user, with a user id of his own: the files he plants, the locks he holds, the folders he swaps, and
the runs he pretends to be."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from verification.faults.neighbours import RUN
from verification.faults.place import ISOBENCH, Line, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verification.faults.place import Place

USER = 65534
"""nobody, who exists on every host."""
_AS = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs")
_NAME = "isobench-20200101T000000Z-"
_PLANTED = {
    "a record with engines": 'cp "$0/record" run.json',
    "nothing": ": > run.json",
    "two hundred thousand brackets": "head -c 200000 /dev/zero | tr '\\0' '[' > run.json",
    "a gigabyte": "truncate -s 1G run.json",
    "a FIFO": "mkfifo run.json",
    "a socket": "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"run.json\")'",
    "a folder": "mkdir run.json",
    "a link to /dev/zero": "ln -s /dev/zero run.json",
    "a link to root's file": "ln -s /etc/shadow run.json",
    "a link to itself": "ln -s run.json run.json",
    "a record, locked": 'cp "$0/record" run.json; (flock 9; exec sleep 3000) 9< run.json & sleep 0.5',
    "a containerd": 'cp "$0/record" run.json; mkdir containerd; printf "$0/socket" > containerd/containerd.sock.path',
    "a link as the folder": 'cd ..; rmdir "$1"; ln -s "$0/victim" "$1"',
    "a file as the folder": 'cd ..; rmdir "$1"; : > "$1"',
}
"""What he plants in place of a run's record -> the command; $0 is his folder, $1 the name of the run's."""


def planted(place: Place) -> Line:
    """Each alone, before `clean` and before a run."""
    tally, his = Tally(place), _His(place)
    for number, (what, words) in enumerate(_PLANTED.items()):
        name = f"{_NAME}{number:06x}"
        folder = his.shared / name
        his.does(f'mkdir "$1" && chmod 755 "$1" && cd "$1" && {words}', his.shared, name)
        seen, before = his.everything(), place.before()
        for command in (("clean",), (*RUN, "1")):
            code, said = place.call(*command, timeout=60, ISOBENCH_WORK=str(his.shared))
            wrong = "" if code == 0 else f"{what}: {command[0]}: exit code {code}: {said[-200:]}"
            if command == ("clean",) and f"left alone, not this user's: {name}" not in said:
                wrong = wrong or f"{what}: not named: {said[-200:]}"
            tally.add(wrong or his.touched(seen), before)
        his.ends()
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    note = (
        "FIFOs, devices, links, brackets, sockets of engines: reported, left alone; nothing executed, no link followed"
    )
    return tally.line("a hostile user's files where runs are looked for", note)


def swapped(place: Place, times: int = 6) -> Line:
    """Runs are killed and cleaned while he replaces every folder of theirs that he can reach by a link."""
    tally, his = Tally(place), _His(place)
    victim = place.folder / "roots"
    inner = victim / "process/root/data"
    inner.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inner)], check=True)
    (inner / "file").write_text("root's")
    swap = 'for d in isobench-*; do mv "$d" "$d.his"; rm -rf "$d"; ln -sfn "$1" "$d"; mkdir "$d"; done'
    words = ("run", "-e", "process,ns-all,handmade", "-s", "startup", "--no-report", "--blocks", "500")
    try:
        for _ in range(times):
            before = place.before()
            his.starts(f"while :; do ({swap}) 2> /dev/null; sleep 0.002; done", his.shared, str(victim))
            process = place.start(*words, ISOBENCH_WORK=str(his.shared))
            place.await_block(1, process)
            process.kill()
            process.wait()
            code, said = place.call("clean", ISOBENCH_WORK=str(his.shared))
            his.ends()
            there = (inner / "file").exists() and os.path.ismount(inner)
            tally.add("" if code == 0 and there else f"victim there: {there}; exit code {code}: {said[-200:]}", before)
            subprocess.run(["find", str(his.shared), "-mindepth", "1", "-delete"], check=True)
    finally:
        his.ends()
        subprocess.run(["umount", str(inner)], check=False)
    return tally.line("folders swapped for links during a sweep", "their targets are neither unmounted nor removed")


def cache(place: Place) -> Line:
    """His cache with his probe; ours with a file of his in it; ours, damaged in many ways."""
    tally, his = Tally(place), _His(place)
    ours = place.folder / "cache"
    code, said = place.call(*RUN, "1", ISOBENCH_CACHE=str(ours))
    for what, spoil, refused in _spoilt(ours, his):
        if refused:
            subprocess.run(["rm", "-rf", str(ours)], check=True)
            place.call(*RUN, "1", ISOBENCH_CACHE=str(ours))
        before = place.before()
        spoil()
        code, said = place.call(*RUN, "1", ISOBENCH_CACHE=str(ours), timeout=120)
        if refused:
            wrong = "" if code == 2 and f"user {USER}" in said else f"{what}: exit code {code}: {said[-200:]}"
        else:
            told = said.count("was damaged") == 1
            wrong = "" if code == 0 and told else f"{what}: exit code {code}: {said[-200:]}"
        tally.add(wrong or his.touched({}), before)
    subprocess.run(["rm", "-rf", str(ours)], check=True)
    return tally.line("a foreign cache, and a damaged one", "refused, naming the owner; rebuilt, with one line")


def _spoilt(ours: Path, his: _His) -> Iterator[tuple[str, Callable[[], object], bool]]:
    """Each kind of damage to the cache, how it is done, and whether the cache is refused then (or rebuilt)."""

    def program() -> Path:
        return next(ours.glob("built/probe-*/probe"))

    def give(path: Path) -> None:
        program().write_text(f"#!/bin/sh\n: > {his.executed}\n")
        os.chown(path, USER, USER)

    yield "emptied", lambda: program().write_bytes(b""), False
    yield "cut off", lambda: os.truncate(program(), 4096), False
    yield "no longer executable", lambda: program().chmod(0o644), False
    yield "removed", lambda: program().unlink(), False
    yield "open to all", lambda: program().chmod(0o777), False
    yield "fio emptied", lambda: os.truncate(next(ours.glob("built/rootfs-*/root/usr/bin/fio")), 0), False
    yield "his program", lambda: give(program()), False
    yield "his folder", lambda: give(ours), True
    yield "his folder of built things", lambda: give(ours / "built"), True


def squatted(place: Place) -> Line:
    """He holds every lock that he can, and announces that he is measuring; root measures."""
    tally, state = Tally(place), Path("/run/isobench")
    holding = (
        "import fcntl, socket, time, os, sys\n"
        "names = ['isobench-measuring', *(f'isobench-measuring-{n:016x}' for n in range(300))]\n"
        "held = [socket.socket(socket.AF_UNIX) for name in names]\n"
        "for one, name in zip(held, names): one.bind('\\0' + name); one.listen(1)\n"
        "for root, folders, files in os.walk(sys.argv[1]):\n"
        "    for name in (*folders, *files):\n"
        "        try: held.append(open(os.path.join(root, name))); fcntl.flock(held[-1], fcntl.LOCK_SH)\n"
        "        except OSError: pass\n"
        "print(flush=True); time.sleep(3000)\n"
    )
    place.call("clean", ISOBENCH_STATE="")
    state.mkdir(exist_ok=True)
    (state / "isobench.lock").touch(0o644)
    with subprocess.Popen([*_AS, "python3", "-c", holding, str(state)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        before = place.before()
        code, said = place.call(*RUN, "1", ISOBENCH_STATE="", timeout=60)
        told = f"user {USER} is also measuring (pid {holder.pid})" in said
        tally.add("" if code == 0 and told else f"root's run: exit code {code}: {said[-300:]}", before)
        holder.kill()
    first = place.start(*RUN, "5000", ISOBENCH_STATE="")
    place.await_block(1, first)
    home = place.folder / "his-home"
    home.mkdir()
    os.chown(home, USER, USER)
    for entering in ((), ("unshare", "--net")):
        asked = subprocess.run(
            [*entering, *_AS, "env", *("-u" + name for name in ("ISOBENCH_STATE", "XDG_RUNTIME_DIR")), f"HOME={home}",
             f"ISOBENCH_CACHE={home}/cache", f"ISOBENCH_WORK={home}", "python3", *ISOBENCH[1:], *RUN, "1"],
            capture_output=True, text=True, check=False, env=place.environ, cwd=home,
        )  # fmt: skip
        refused = asked.returncode == 2 and f"pid {first.pid}" in asked.stderr
        tally.count("" if refused else f"his run beside root's: {asked.returncode}: {asked.stderr[-300:]}")
    first.send_signal(signal.SIGINT)
    first.wait(60)
    subprocess.run(["rm", "-rf", str(home)], check=True)
    return tally.line("a squatted lock", "root is not refused, but warned; another user is refused only by root's run")


class _His:
    """The stranger: a folder that he shares with root, one of his own, and files that would show that he succeeded."""

    def __init__(self, place: Place) -> None:
        self.shared = place.folder / "shared"
        self.shared.mkdir(exist_ok=True)
        self.shared.chmod(0o1777)
        self._own = place.folder / "his"
        self._own.mkdir(exist_ok=True)
        (self._own / "victim").mkdir(exist_ok=True)
        (self._own / "victim/file").write_text("his")
        self.executed = self._own / "executed"
        (self._own / "evil").write_text(f"#!/bin/sh\n: > {self.executed}\n")
        (self._own / "evil").chmod(0o755)
        command = f"qemu+ext:///system?command={self._own}/evil"
        engines = {"DOCKER_HOST": f"unix://{self._own}/socket", "ISOBENCH_LIBVIRT_URI": command}
        (self._own / "record").write_text(json.dumps({"name": "x", "pid": 1, "engines": engines}))
        for path in (self._own, *self._own.rglob("*")):
            os.chown(path, USER, USER)
        self._started: list[subprocess.Popen[bytes]] = []

    def does(self, script: str, where: Path, *words: str) -> None:
        subprocess.run([*_AS, "sh", "-c", script, str(self._own), *words], cwd=where, check=True)

    def starts(self, script: str, where: Path, *words: str) -> None:
        command = [*_AS, "sh", "-c", script, str(self._own), *words]
        self._started.append(subprocess.Popen(command, cwd=where, start_new_session=True))

    def ends(self) -> None:
        """Kill every process of his user."""
        self._started.clear()
        for _ in range(2):
            subprocess.run([*_AS, "kill", "-KILL", "-1"], check=False, capture_output=True)
            time.sleep(0.05)

    def everything(self) -> dict[str, str]:
        """His files with their kind and content."""
        seen = {}
        for path in (*self.shared.rglob("*"), *self._own.rglob("*")):
            found = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() and found.st_size < 1 << 20 else b""
            kept = (found.st_mode, found.st_uid, found.st_size, found.st_ino, content)
            seen[str(path)] = hashlib.sha256(repr(kept).encode()).hexdigest()
        return seen

    def touched(self, seen: dict[str, str]) -> str:
        """What went wrong: his program was run, or one of his files has changed."""
        if self.executed.exists():
            self.executed.unlink()
            return "his program was executed"
        now = self.everything() if seen else {}
        return "; ".join(f"{path} was touched" for path, one in seen.items() if now.get(path) != one)[:300]


ROWS = {"planted": planted, "swapped": swapped, "foreign-cache": cache, "squatted": squatted}
