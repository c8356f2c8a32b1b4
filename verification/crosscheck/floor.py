"""`nox -s floor`: the native rungs against a bare C loop that starts the same program, interleaved.

Prints, for each rung, isobench's median time to the first byte, the C loop's, and the paired ratio with its 95 %
interval over restarts. `process` is compared with posix_spawn, the namespace rungs with clone and the same flags.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.contracts.launch import idle
from isobench.environments.native.rungs import ENVIRONMENTS
from isobench.estimation import paired
from isobench.images.rootfs import rootfs_path
from isobench.probe.build import FLAGS
from isobench.scenarios.startup import durations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.environments.native._sandbox import NativeSandbox
    from isobench.environments.native.rungs import Native

FLAG_BITS = {
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x00000080,
}
"""The CLONE_NEW* flags of sched.h, repeated on purpose: this side shares no code with the launcher."""

CLEANUP_SECONDS = 0.3
"""The loop cannot observe when the kernel has freed a network namespace, and the next start must not compete with that.
Both sides pause alike, because a start after a pause is slower: its caches are cold."""

RUNGS = ("process", "ns-mnt", "ns-uts", "ns-ipc", "ns-pid", "ns-net", "ns-cgroup", "ns-time", "ns-all")


class Floor:
    """The C loop, in a fresh process for each start, like isobench's launcher."""

    def __init__(self, program: Path, workdir: Path) -> None:
        self._binary = workdir / "floor"
        self._program = program
        source = Path(__file__).with_name("floor.c")
        subprocess.run(["cc", *FLAGS, "-o", str(self._binary), str(source)], check=True)

    def start(self, namespaces: Sequence[str]) -> float:
        """Seconds from the request to the first byte of one start. An untimed start precedes it, as on isobench's
        side."""
        flags = sum(FLAG_BITS[name] for name in namespaces)
        lines = ["spawn", f"clone {flags:x}" if flags else "spawn"]
        with subprocess.Popen(
            [str(self._binary), "./" + self._program.name, "ready"],
            cwd=self._program.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            for line in ["hold", *lines] if "net" in namespaces else lines:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
        return int(answer.split()[0]) / 1e9


def compare(names: Sequence[str], pairs: int, seed: int) -> list[tuple[str, list[float], list[float]]]:
    """(rung, our seconds, the loop's seconds), paired and interleaved in random order."""
    rungs: dict[str, Native] = {e.name: e for e in ENVIRONMENTS if isinstance(e, Native) and e.name in names}
    order = random.Random(seed)
    workdir = Path(tempfile.mkdtemp(prefix="isobench-floor-", dir="/var/tmp"))
    try:
        with ExitStack() as stack:
            sandboxes: dict[str, NativeSandbox] = {}
            for name in names:
                (workdir / name).mkdir()
                sandboxes[name] = stack.enter_context(rungs[name].open(workdir / name))
            floor = Floor(rootfs_path() / "probe", workdir)
            taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
            for round_number in range(pairs + 2):  # the first two are warm-up
                for name in order.sample(list(names), len(names)):
                    both = [0.0, 0.0]
                    for side in order.sample((0, 1), 2):
                        namespaces = rungs[name].isolation.namespaces
                        time.sleep(CLEANUP_SECONDS if "net" in namespaces else 0)
                        both[side] = floor.start(namespaces) if side else _ours(sandboxes[name])
                    if round_number >= 2:
                        taken[name][0].append(both[0])
                        taken[name][1].append(both[1])
            return [(name, *taken[name]) for name in names]
    finally:
        shutil.rmtree(workdir)


def _ours(sandbox: NativeSandbox) -> float:
    with sandbox.launch(idle(timeout=20)) as instance:
        instance.wait()
    return durations(instance.events)["ready"]


class Found(NamedTuple):
    """A rung against the loop: medians in seconds, and the ratio with its 95 % interval over the restarts."""

    rung: str
    ours: float
    theirs: float
    low: float
    centre: float
    high: float


def measure(names: Sequence[str], pairs: int, restarts: int, seed: int) -> list[Found]:
    """Measure `pairs` pairs of each rung in each of `restarts` restarts, for which the loop is rebuilt and the rungs
    are reopened."""
    runs = [compare(names, pairs, seed + restart) for restart in range(restarts)]
    found = []
    for rung in zip(*runs, strict=True):
        logs = [
            statistics.median(math.log(a / b) for a, b in zip(ours, theirs, strict=True)) for _, ours, theirs in rung
        ]
        ours, theirs = (statistics.median(chain.from_iterable(one[side] for one in rung)) for side in (1, 2))
        found.append(Found(rung[0][0], ours, theirs, *over_restarts(logs)))
    return found


def over_restarts(logs: Sequence[float]) -> tuple[float, float, float]:
    """The ratio and its 95 % interval (low, centre, high) from one logarithm per restart.

    A restart as a whole moves all of its starts by up to 4 %, seen with 3,000 pairs per restart; the likeliest cause is
    which pages its programs get. The interval over pairs does not include that, however many there are (Kalibera and
    Jones 2013).
    """
    found = paired.interval(np.array(logs))
    return math.exp(found.low), math.exp(found.centre), math.exp(found.high)


def median_interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval by order statistics (normal approximation to the binomial)."""
    ordered = sorted(ratios)
    reach = 0.98 * len(ordered) ** 0.5
    low = max(0, int(len(ordered) / 2 - reach))
    high = min(len(ordered) - 1, int(len(ordered) / 2 + reach))
    return statistics.median(ordered), ordered[low], ordered[high]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--restarts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("rungs", nargs="*", default=[])
    arguments = parser.parse_args()
    how = f"{arguments.restarts} restarts of {arguments.pairs} pairs"
    print(f"{'rung':12} {'isobench':>12} {'C loop':>12} {'ratio [95 %]':>26}   {how}")
    for found in measure(arguments.rungs or RUNGS, arguments.pairs, arguments.restarts, arguments.seed):
        microseconds = f"{found.ours * 1e6:9.1f} µs {found.theirs * 1e6:9.1f} µs"
        print(f"{found.rung:12} {microseconds}   {found.centre:.4f} [{found.low:.4f}, {found.high:.4f}]")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
