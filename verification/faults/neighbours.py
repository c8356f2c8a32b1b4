"""Others on the same host: a second run, a stale lock, `clean` during a live run, and objects with similar names."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from verification.faults import leaks
from verification.faults.place import ISOBENCH, Line, Tally

if TYPE_CHECKING:
    from verification.faults.place import Place

RUN = ("run", "-e", "process", "-s", "startup", "--no-report", "--blocks")


def two_runs(place: Place) -> Line:
    """The second is refused with the holder's pid, or waits; a dead process holds no lock."""
    tally, before = Tally(place), place.before()
    long = ("run", "-e", "process,ns-all", "-s", "startup", "--no-report", "--blocks", "5000")
    first = place.start(*long)
    place.await_block(1, first)
    other = place.folder / "other"
    code, said = _beside(place, [*RUN, "1"])
    tally.count("" if code == 2 and f"pid {first.pid}" in said else f"refused? {code}: {said[-200:]}")
    with (place.folder / "waiting").open("wb") as output:
        command = [*ISOBENCH, *RUN, "1", "--wait", "--out", str(other)]
        waiting = subprocess.Popen(command, cwd=place.folder, env=place.environ, stdout=output, stderr=output)
    time.sleep(2)
    waited = waiting.poll() is None and not list(other.glob("*/*/session.json"))
    first.send_signal(signal.SIGINT)
    first.wait(60)
    code = waiting.wait(60)
    tally.count("" if waited and code in (0, 5) else f"--wait: {waited=}, exit code {code}")
    dead = place.start(*long)
    place.await_block(1, dead)
    dead.kill()
    dead.wait()
    code, said = place.call(*RUN, "1")
    tally.add("" if code in (0, 5) else f"the lock of a dead process: {code}: {said[-200:]}", before)
    return tally.line(
        "two runs at once; a stale lock", "refused with the holder's pid; --wait waits; the lock of a dead run is free"
    )


def clean_beside(place: Place) -> Line:
    """Repeated `clean` during a run removes nothing of it."""
    tally, before = Tally(place), place.before()
    environments = "process,ns-all,handmade,docker,tcg-null"
    process = place.start("run", "-e", environments, "-s", "startup", "--no-report", "--blocks", "500")
    place.await_block(0, process)
    wrong = ""
    while place.block() < 4 and process.poll() is None:
        code, said = _beside(place, ["clean"])
        if code != 0 or "nothing to clean" not in said:
            wrong = f"clean: {code}: {said[-200:]}"
        tally.injected += 1
        tally.survived += not wrong
    process.send_signal(signal.SIGINT)
    process.wait(90)
    session = place.last_run().session
    if session.failures or len(session.blocks) < 2:
        wrong = f"{len(session.blocks)} blocks, failures {session.failures[:2]}"
    if wrong:
        tally.wrong.append(wrong)
    tally.leaks += leaks.left(place.where, before)
    return tally.line("`clean` beside a living run", f"{len(session.blocks)} blocks without a failure")


def decoys(place: Place) -> Line:
    """Other people's objects with names like a dead run's: `clean` removes only the dead run's."""
    tally, before = Tally(place), place.before()
    process = place.start(
        "run", "-e", "process,handmade,docker,tcg-null", "-s", "startup", "--no-report", "--blocks", "500"
    )
    place.await_block(1, process)
    process.kill()
    process.wait()
    name = next(p.name for p in (place.folder / "work").glob("isobench-*"))
    made = _Decoys(place, name)
    code, said = place.call("clean")
    gone = made.missing()
    tally.injected, tally.survived = made.count, made.count - len(gone)
    if code != 0 or name not in said:
        tally.wrong.append(f"clean: {code}: {said[:600]}")
    tally.wrong += [f"taken away: {one}" for one in gone]
    made.remove()
    tally.leaks += leaks.left(place.where, before)
    return tally.line(
        "decoys with similar names", "process, folder, mount, cgroup, container, network, volume, domain: untouched"
    )


class _Decoys:
    """Objects next to what a dead run left, with its name plus or minus a letter."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self._name = name
        work = place.folder / "work"
        self._folders = [
            work / f"{name}0",
            work / name[:-1],
            work / f"x{name}",
            work / "isobench-20200101T000000Z-000000",
        ]
        for folder in self._folders:
            folder.mkdir()
            (folder / "theirs").write_text("theirs")
        self._mount = self._folders[0] / "mounted"
        self._mount.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(self._mount)], check=True)
        inside = work / name
        self._processes = [
            subprocess.Popen(["sleep", "601"], cwd=inside),  # a user who looks around there
            subprocess.Popen(["sleep", "602"], cwd=self._folders[0]),
            subprocess.Popen(["sh", "-c", "read wait", f"{work}/{name}0/theirs"], stdin=subprocess.PIPE),
        ]
        root = next(p for p in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists())
        self._cgroups = [root / f"{name}0", root / f"{name[:-1]}"]
        for cgroup in self._cgroups:
            cgroup.mkdir()
        self._docker("volume", "create", "--label", f"isobench.run={name}0", f"{name}0")
        self._docker("network", "create", "--internal", f"{name}0")
        image = self._docker("images", "-q", "--filter", f"label=isobench.run={name}").split()[0]
        self._docker("tag", image, "theirs:latest")
        self._docker(
            "run",
            "-d",
            "-i",
            "--name",
            f"{name}0",
            "--label",
            f"isobench.run={name}0",
            "theirs:latest",
            "/probe",
            "ready",
        )
        self._virsh("create", str(_domain(place.folder / "tmp", f"{name}0")))

    def _known(self) -> dict[str, bool]:
        containers = self._docker("ps", "-a", "--format", "{{.Names}}").split()
        found = {str(folder): (folder / "theirs").exists() for folder in self._folders}
        found |= {f"process {p.args!r}": p.poll() is None for p in self._processes}
        found |= {str(cgroup): cgroup.exists() for cgroup in self._cgroups}
        found["mount"] = os.path.ismount(self._mount)
        found["container"] = f"{self._name}0" in containers
        found["volume"] = f"{self._name}0" in self._docker("volume", "ls", "-q").split()
        found["network"] = f"{self._name}0" in self._docker("network", "ls", "--format", "{{.Name}}").split()
        found["domain"] = f"{self._name}0" in self._virsh("list", "--name").split()
        return found

    @property
    def count(self) -> int:
        return len(self._known())

    def missing(self) -> list[str]:
        return [name for name, there in self._known().items() if not there]

    def remove(self) -> None:
        self._virsh("destroy", f"{self._name}0")
        (leaks.LOGS / f"{self._name}0.log").unlink(missing_ok=True)
        self._docker("rm", "-f", f"{self._name}0")
        self._docker("network", "rm", f"{self._name}0")
        self._docker("volume", "rm", f"{self._name}0")
        self._docker("rmi", "-f", "theirs:latest")
        for process in self._processes:
            process.kill()
            process.wait()
        subprocess.run(["umount", str(self._mount)], check=False)
        for cgroup in self._cgroups:
            cgroup.rmdir()
        for folder in self._folders:
            subprocess.run(["rm", "-rf", str(folder)], check=True)
        for file in (self._place.folder / "tmp").glob("theirs*"):
            file.unlink()

    def _docker(self, *words: str) -> str:
        done = subprocess.run(["docker", *words], env=self._place.environ, capture_output=True, text=True, check=False)
        return done.stdout

    def _virsh(self, *words: str) -> str:
        uri = self._place.environ["ISOBENCH_LIBVIRT_URI"]
        return subprocess.run(["virsh", "-c", uri, *words], capture_output=True, text=True, check=False).stdout


def _domain(folder: Path, name: str) -> Path:
    file = folder / f"theirs-{secrets.token_hex(4)}.xml"
    file.write_text(
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
        "<os><type>hvm</type></os><devices><video><model type='none'/></video></devices></domain>"
    )
    return file


def _beside(place: Place, words: list[str]) -> tuple[int, str]:
    """Run isobench a second time, with its own output file."""
    done = subprocess.run(
        [*ISOBENCH, *words],
        cwd=place.folder,
        env=place.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, json.dumps(done.stdout + done.stderr)
