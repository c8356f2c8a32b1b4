"""Memory per instance against `free`: the density scenario's slope, and 32 containers by hand with `docker run`.

The two sides take turns. The other side is the decrease of available memory according to `free`, divided by the
number of containers; it knows nothing of instances, cgroups or processes. Both sides cover the whole host, so both
include what else runs meanwhile. `free` does not count the free pages on each CPU's own list (tens of MiB, more after
32 clients have ended), and it counts by how much dockerd and containerd grew or shrank. The last two lines correct
for both, with awk from /proc; those are compared with each other.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

import numpy as np

from isobench.environments.docker._client import LABEL
from isobench.estimation.paired import interval
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from isobench.scenarios import density as density
from verification.crosscheck._docker import docker, image_by_hand

if TYPE_CHECKING:
    from isobench.contracts.environment import Sandbox

SETTLE_SECONDS = 4.0
"""Seconds until the memory of ended processes is freed, and that of started ones has settled."""
MOST_NOISE = 0.1
"""Half the interval's width as a share of a container's memory; a wider interval would agree with anything."""


def free_bytes() -> int:
    """The column "available" of `free`."""
    done = subprocess.run(["free", "--bytes"], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[1].split()[6])


def at_hand_bytes() -> int:
    """Bytes of the free pages on the CPUs' own lists."""
    words = ["awk", '$1 == "count:" { pages += $2 } END { print pages }', "/proc/zoneinfo"]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout) * os.sysconf("SC_PAGE_SIZE")


def daemons_bytes(pids: list[int]) -> int:
    """The PSS of the dockerd and containerd in use; there may be others on the host."""
    files = [f"/proc/{pid}/smaps_rollup" for pid in pids]
    words = ["awk", '$1 == "Pss:" { kib += $2 } END { print kib }', *files]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout) * 1024


def by_hand(image: str, run: str, count: int, engine: list[int]) -> tuple[float, float]:
    """Bytes per container according to `free`, and the same corrected. The containers are started one after the other
    with `docker run`, and carry the run's name."""
    time.sleep(SETTLE_SECONDS)
    before, at_hand, daemons = free_bytes(), at_hand_bytes(), daemons_bytes(engine)
    names = []
    try:
        for _ in range(count):
            name = f"{run}-by-hand-{secrets.token_hex(4)}"
            words = ["--detach", "--interactive", "--label", f"{LABEL}={run}", "--name", name]
            docker("run", *words, image, "/probe", "ready")
            names.append(name)
        time.sleep(SETTLE_SECONDS)
        plain = before - free_bytes()
        return plain / count, (plain + at_hand - at_hand_bytes() + daemons - daemons_bytes(engine)) / count
    finally:
        if names:
            docker("rm", "--force", *names)


def ours(sandbox: Sandbox) -> float:
    """The density scenario's slope of available memory, without the parts that do not belong to a container."""
    readings, _ = density.Density().take(sandbox)
    counted = [one["available"] - one["harness"] - one["daemons"] for one in readings.values()]
    return statistics.linear_regression(list(readings), counted).slope


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    density.COUNTS = tuple(n for n in density.COUNTS if n <= arguments.count)
    mine: list[float] = []
    plain: list[float] = []
    theirs: list[float] = []
    with workspace(new_run_id(), catalog.sweep) as workdir:
        run, folder = workdir.name, workdir / "docker"
        folder.mkdir(mode=0o711)
        with catalog.environments()["docker"].open(folder) as sandbox, image_by_hand(run) as image:
            by_hand(
                image, run, arguments.count, sandbox.daemons()
            )  # the engine grows with the first containers that it sees
            for number in range(arguments.rounds):
                if number % 2:
                    mine.append(ours(sandbox))
                one = by_hand(image, run, arguments.count, sandbox.daemons())
                plain.append(one[0])
                theirs.append(one[1])
                if not number % 2:
                    mine.append(ours(sandbox))
    middles = [statistics.median(side) / 2**20 for side in (mine, plain, theirs)]
    found = interval((np.array(mine) - np.array(theirs)) / 2**20)
    print(f"free, {arguments.count} containers by hand         {middles[1]:8.2f} MiB each")
    print(f"the same, corrected               {middles[2]:8.2f} MiB each")
    print(f"docker, slope over 1 to {arguments.count:<9} {middles[0]:8.2f} MiB each")
    print(f"difference, paired                {found.centre:+8.2f} [{found.low:+.2f}, {found.high:+.2f}] MiB")
    if (found.high - found.low) / 2 > MOST_NOISE * middles[2]:
        print("that is too wide to tell: too much else ran on this host meanwhile")
        return 1
    return 0 if found.low <= 0 <= found.high else 1


if __name__ == "__main__":
    raise SystemExit(main())
