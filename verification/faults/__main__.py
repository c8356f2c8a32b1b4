"""`python -m verification.faults [ROW…]`: injects every fault for real, and writes RELIABILITY.md, one line per fault.

Without names, all faults are injected and the file is written anew. With names, only their lines are replaced. Needs
root. Everything happens in namespaces of its own (verification/faults/apart.py) with engines that end with it. Only the
clock (stepped by 0.2 s and back) and a CPU (off for a second) affect the whole host.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.host import machine
from isobench.probe.build import probe_path
from verification.faults import (
    aggressors,
    apart,
    disk,
    engine_faults,
    engines,
    filesystems,
    fuzzing,
    hostile,
    hostwide,
    lacking,
    leaks,
    mechanisms,
    neighbours,
    peculiar,
    results,
    sessions,
    soak,
    stopping,
    stranger,
)
from verification.faults.place import ROOT, Line, Place

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS: dict[str, Callable[[Place], Line]] = {
    "signals": stopping.signals,
    "signals-end": stopping.signals_at_the_end,
    **sessions.ROWS,
    **mechanisms.ROWS,
    "cut-off": disk.cut_off,
    "while-writing": disk.while_writing,
    "full-results": disk.full_results,
    "full-cache": disk.full_cache,
    "full-work": disk.full_work,
    "dockerd": engine_faults.dockerd,
    "containerd": engine_faults.containerd,
    "libvirtd": engine_faults.libvirtd,
    "qemu": engine_faults.qemu,
    "shim": engine_faults.shim,
    "hostile": hostile.programs,
    "results": results.hostile,
    "answers": hostile.answers,
    "limits": hostile.limits,
    "files": hostwide.files,
    "cgroup": hostwide.busy_cgroup,
    "clock": hostwide.clock,
    "cpu": hostwide.cpu,
    "stopped": hostwide.stopped,
    "two-runs": neighbours.two_runs,
    "clean": neighbours.clean_beside,
    "decoys": neighbours.decoys,
    **aggressors.ROWS,
    **stranger.ROWS,
    **filesystems.ROWS,
    "privileges": lacking.privileges,
    "layouts": lacking.layouts,
    "paths": lacking.paths,
    **peculiar.ROWS,
    "soak": soak.soak,
    "fuzz": fuzzing.fuzz,
}
FILE = ROOT / "RELIABILITY.md"
_INSIDE = "ISOBENCH_FAULTS_INSIDE"


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ROWS]
    if unknown or os.geteuid() != 0:
        print(f"the rows are {', '.join(ROWS)}" if unknown else "the faults want root", file=sys.stderr)
        return 2
    if _INSIDE not in os.environ:
        return _enter(names)
    folder = Path(os.environ[_INSIDE])
    docker, libvirt = engines.docker(folder / "docker"), engines.libvirt(folder / "libvirt")
    try:
        docker.start()
        libvirt.start()
        if not names:
            fuzzing.background.start()
        lines = {name: _one(name, Place(folder / name, docker, libvirt)) for name in names or ROWS}
    finally:
        docker.stop()
        libvirt.stop()
        for point in sorted(
            (what for kind, what in leaks.take(leaks.Where(folder, "", "")) if kind == "mount"), reverse=True
        ):
            if point.startswith(str(folder)):
                subprocess.run(["umount", "--lazy", point], check=False)
    if not names:
        _write(lines)
    elif FILE.exists():
        _replace(lines)
    return (
        0 if all(line.survived == line.injected and not line.leaks and not line.wrong for line in lines.values()) else 1
    )


def _enter(names: list[str]) -> int:
    """Run this command again, in its own namespaces, under a first process that reaps orphans."""
    inner = [sys.executable, "-m", "verification.faults", *names]
    environ = {
        k: v for k, v in os.environ.items() if not k.startswith(("ISOBENCH_S", "ISOBENCH_W", "ISOBENCH_L", "DOCKER_"))
    }
    folder = tempfile.mkdtemp(prefix="faults-", dir="/var/tmp")
    try:
        Path(folder).chmod(0o711)
        command = apart.words_apart(f"isobench-{Path(folder).name}", [str(probe_path()), "init", *inner])
        process = subprocess.Popen(command, env={**environ, _INSIDE: folder})
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: process.kill())
        return process.wait()
    finally:
        apart.remove(f"isobench-{Path(folder).name}")
        shutil.rmtree(folder, ignore_errors=True)


def _one(name: str, place: Place) -> Line:
    """One row; a row that is aborted by an error has not survived."""
    began = time.monotonic()
    before = place.before()
    try:
        line = ROWS[name](place)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = Line(
            name,
            1,
            0,
            leaks.left(place.where, before, 1),
            "the row was aborted by an error",
            [f"{error} ({where.filename}:{where.lineno})"],
        )
    shutil.rmtree(place.folder, ignore_errors=True)
    print(
        f"{line.fault}: injected {line.injected}, survived {line.survived}, leaks {len(line.leaks)}; {line.note}"
        f"  ({time.monotonic() - began:.0f} s)",
        flush=True,
    )
    for text in (*line.wrong, *(f"leak: {leak}" for leak in _shown(line.leaks))):
        print(f"    {text}", flush=True)
    return line


def _shown(found: list[str]) -> list[str]:
    """A few of each kind."""
    kinds = {leak.split()[0] for leak in found}
    return [leak for kind in sorted(kinds) for leak in [one for one in found if one.split()[0] == kind][:5]]


def _write(lines: dict[str, Line]) -> None:
    facts = machine.facts()
    about = "; ".join(facts[key] for key in ("cpu", "cpus", "kernel", "virtual", "cgroup") if facts.get(key))
    date = time.strftime("%Y-%m-%d", time.gmtime())
    head = [
        "# Reliability",
        "",
        f"Written by `nox -s faults` on {date}, host {machine.host_id()}: {about}.",
        "Everything happens on a separate host (verification/faults/apart.py). Leaks are counted before and after",
        "by verification/faults/leaks.py, which does not use isobench's own bookkeeping and compares whole trees:",
        "the cgroups of every hierarchy, /run, /dev/shm, /etc/apparmor.d, the folders of Docker, containerd, libvirt,",
        "Podman and LXC, routes, rules and settings of the network, interfaces, mounts, processes, namespaces by",
        "inode, sockets, System V shared memory, loop devices, and what the engines list. What an engine creates once",
        "for itself is listed in verification/faults/trees.py.",
        "Not injected: suspending the machine (tests/unit/cells/test_runner.py covers the clocks that mark it),",
        "and cgroup layouts and security modules other than this host's.",
        "",
        "| fault | injected | survived | leaks | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    FILE.write_text("\n".join([*head, *map(_row, lines.values())]) + "\n")


def _replace(lines: dict[str, Line]) -> None:
    """Replace the rows that were run on their own, or append them; each such row says so."""
    rows = FILE.read_text().splitlines()
    for line in lines.values():
        again = line._replace(note=f"{line.note} (run on its own, {time.strftime('%Y-%m-%d', time.gmtime())})")
        at = next((n for n, row in enumerate(rows) if row.startswith(f"| {line.fault} |")), len(rows))
        rows[at : at + 1] = [_row(again)]
    FILE.write_text("\n".join(rows) + "\n")


def _row(line: Line) -> str:
    notes = "; ".join([line.note, *(f"**{text}**" for text in (*line.wrong[:3], *line.leaks[:3]))])
    notes = notes.replace("|", "\\|").replace("\n", " ")
    return f"| {line.fault} | {line.injected} | {line.survived} | {len(line.leaks)} | {notes} |"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
