"""The workloads `redis` and `postgres` in `chroot` against the same server and the same load generator started by hand
in the same root file system, interleaved.

By hand means chroot(8) and a shell: preparing an empty /data, starting the server in the background, asking until it
answers, the load generator, SIGTERM. The numbers are read from the output in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from isobench.cells.cell import TimedSandbox
from isobench.environments.native._furnished import make_devices, mount_proc
from isobench.filesystem.mounts import unmount_below
from isobench.images.archive import unpack
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from isobench.planning.workloads import select_workloads
from isobench.workloads.measured import Measured
from isobench.workloads.workload import ENVIRON
from verification.crosscheck.floor import median_interval

WORKLOADS = "redis,postgres"
ROUNDS = 20
BAND = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", default=WORKLOADS, help="servers that answer a command")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="the ratios of ours to theirs, as data")
    arguments = parser.parse_args()
    found = {}
    for workload in select_workloads(arguments.workloads):
        found.update(measure(workload, arguments.rounds))
    if arguments.json:
        print(
            json.dumps({name: dict(zip(("ratio", "low", "high"), three, strict=True)) for name, three in found.items()})
        )
        return 0
    for name, (ratio, low, high) in found.items():
        print(f"{name:21} ours / by hand {ratio:.3f} [{low:.3f}, {high:.3f}]")
    return int(any(low > 1 + BAND or high < 1 - BAND for _, low, high in found.values()))


def measure(workload: Measured, rounds: int) -> dict[str, tuple[float, float, float]]:
    """The ratio of ours to theirs over the rounds for each number, with its interval; the order alternates."""
    names = [number.name for number in workload.workload.numbers]
    ratios: dict[str, list[float]] = {name: [] for name in names}
    with workspace(new_run_id(), catalog.sweep) as run:
        (run / "chroot").mkdir(mode=0o711)
        tree = run / "hand"
        unpack(workload.root.archive, tree)
        make_devices(tree / "dev")
        mount_proc(tree / "proc")
        try:
            with catalog.environments()["chroot"].open(run / "chroot") as opened:
                sandbox = TimedSandbox(opened)
                for number in range(rounds + 1):
                    if number % 2:
                        ours, theirs = workload.measure(sandbox), by_hand(workload, tree)
                    else:
                        theirs, ours = by_hand(workload, tree), workload.measure(sandbox)
                    if number:  # the first is warm-up
                        for name in names:
                            ratios[name].append(ours[name] / theirs[name])
                    print(f"{workload.name}: round {number} of {rounds}", file=sys.stderr)
        finally:
            unmount_below(tree)
    return {f"{workload.name} {name}": median_interval(values) for name, values in ratios.items()}


def by_hand(workload: Measured, tree: Path) -> dict[str, float]:
    """The numbers of the same commands, started without isobench."""
    work = workload.workload
    assert work.server is not None and work.server.asked is not None
    cpus = sorted(os.sched_getaffinity(0))[: workload.allotment.cpus]
    inside = ("taskset", "--cpu-list", ",".join(map(str, cpus)), "chroot", str(tree))
    environ = dict(ENVIRON)
    shutil.rmtree(tree / "data", ignore_errors=True)
    (tree / "data").mkdir()
    for command in work.prepare:
        subprocess.run([*inside, *command.words], env=environ, capture_output=True, check=True)
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(
        [*inside, *work.server.command.words], env=environ, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        while subprocess.run([*inside, *work.server.asked.words], env=environ, capture_output=True).returncode != 0:
            if server.poll() is not None:
                raise RuntimeError("the server ended before it was ready")
            time.sleep(0.01)
        if work.warm_up is not None:
            subprocess.run([*inside, *work.warm_up.words], env=environ, capture_output=True, check=True)
        done = subprocess.run([*inside, *work.command.words], env=environ, capture_output=True, text=True, check=True)
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # also what runuser has started
        server.wait(timeout=30)
    return {number.name: number.read(done.stdout) for number in work.numbers}


if __name__ == "__main__":
    raise SystemExit(main())
