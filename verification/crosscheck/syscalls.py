"""`nox -s crosscheck`: isobench's system call figures against references that share none of its code.

The references are loops in the manner of lmbench (syscalls.c) and `perf bench syscall basic`. Everything runs on one
CPU, so that the scheduler's placement of children has no influence; ours and theirs take turns in random order, and the
paired ratio is shown with its 95 % interval. Neither perf nor isobench subtracts anything from the loop. The references
run about 2 % slower, because their loops last milliseconds and so include the timer's interrupts. perf's run is long,
because short ones gave means that varied by a tenth. A row says "agrees" if the whole interval lies inside the band,
"differs" if it lies outside, and "too noisy to tell" otherwise. Exits with 1 if one differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.contracts.answers import answers
from isobench.contracts.launch import working
from isobench.core.model import BAND
from isobench.environments.native.rungs import ENVIRONMENTS
from isobench.probe.build import FLAGS, probe_path
from isobench.processes.programs import find
from verification.crosscheck.floor import median_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from isobench.contracts.environment import Sandbox

OPERATIONS = (
    "getppid",
    "clock-vdso",
    "clock-syscall",
    "read-1b",
    "read-4k",
    "write-1b",
    "write-4k",
    "open-close",
    "stat",
    "getdents",
    "mmap",
    "mmap-touch",
    "minor-fault",
    "brk",
    "fork",
    "vfork-exec",
    "thread",
    "pipe",
    "futex-wake",
    "futex-pair",
    "signal",
    "socketpair",
    "tcp",
    "epoll",
    "sendfile",
    "mount",
)
"""All of ours except `pipe-2cpu`, since everything here is on one CPU. Both sides do the same work with independent
code."""

AGREES, DIFFERS, NOISY = "agrees", "differs", "too noisy to tell"
PERF_CALLS = 2_000_000
"""A third of a second: runs of this length agree within 1 %."""


def ours(sandbox: Sandbox, operation: str) -> float:
    """Nanoseconds of one operation as the scenario takes them: the median of a fresh instance's batches."""
    with sandbox.launch(working("syscall", "--pin", operation, timeout=20)) as instance:
        answer = answers(instance)[-1]
    return float(statistics.median(answer["ns"]))


def reference(binary: Path, operation: str) -> float:
    """Nanoseconds of one operation as the reference takes them."""
    program = probe_path()
    command = [str(binary), operation, program.name]
    ended = subprocess.run(command, cwd=program.parent, capture_output=True, check=True, timeout=60)
    return float(ended.stdout)


def perf() -> float:
    """Nanoseconds of one getppid as perf takes them: the mean of one run."""
    command = ["perf", "bench", "syscall", "basic", "-l", str(PERF_CALLS)]
    said = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True).stdout
    return float(said.split("usecs/op")[0].split()[-1]) * 1e3


def compare(
    pairs: Mapping[str, tuple[Callable[[], float], Callable[[], float]]], rounds: int, seed: int
) -> dict[str, tuple[list[float], list[float]]]:
    """Ours and theirs by name, paired and interleaved in random order; the first round is warm-up."""
    order = random.Random(seed)
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in pairs}
    for number in range(rounds + 1):
        for name in order.sample(list(pairs), len(pairs)):
            both = [0.0, 0.0]
            for side in order.sample((0, 1), 2):
                both[side] = pairs[name][side]()
            if number > 0:
                taken[name][0].append(both[0])
                taken[name][1].append(both[1])
    return taken


def judge(low: float, high: float, band: float = BAND) -> str:
    """The conclusion from an interval of the ratio: equal within the band, different, or more rounds are needed."""
    if 1 - band <= low and high <= 1 + band:
        return AGREES
    return DIFFERS if low > 1 + band or high < 1 - band else NOISY


def show(taken: Mapping[str, tuple[list[float], list[float]]], rounds: int, band: float = BAND) -> int:
    """Print one line each and a count of each conclusion; returns the number of those that differ."""
    print(f"{'operation':20} {'isobench':>13} {'reference':>13}   ratio [95 %], {rounds} rounds")
    words = []
    for name, (our, their) in taken.items():
        middle, low, high = median_interval([a / b for a, b in zip(our, their, strict=True)])
        words.append(judge(low, high, band))
        figures = f"{statistics.median(our):10.1f} ns {statistics.median(their):10.1f} ns"
        print(f"{name:20} {figures}   {middle:.4f} [{low:.4f}, {high:.4f}]  {words[-1]}")
    counts = f"{words.count(AGREES)} agree within {band:.0%}, {words.count(DIFFERS)} differ"
    print(f"of {len(words)}: {counts}, {words.count(NOISY)} too noisy to tell")
    return words.count(DIFFERS)


@contextmanager
def prepared() -> Iterator[tuple[Sandbox, Path]]:
    """A sandbox of raw processes, and the compiled reference. Everything started from here on shares one CPU."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    environment = next(e for e in ENVIRONMENTS if e.name == "process")
    with tempfile.TemporaryDirectory(prefix="isobench-crosscheck-", dir="/var/tmp") as folder:
        workdir = Path(folder) / "isobench-crosscheck" / "process"
        workdir.mkdir(parents=True)
        binary = Path(folder) / "reference"
        source = Path(__file__).with_name("syscalls.c")
        subprocess.run(["cc", *FLAGS, "-o", str(binary), str(source)], check=True, timeout=300)
        with environment.open(workdir) as sandbox:
            yield sandbox, binary


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the ratios as data")
    parser.add_argument("operations", nargs="*", default=[])
    arguments = parser.parse_args()
    with prepared() as (sandbox, binary):
        pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
            name: (partial(ours, sandbox, name), partial(reference, binary, name))
            for name in arguments.operations or OPERATIONS
        }
        if find("perf"):
            pairs["getppid (perf)"] = (partial(ours, sandbox, "getppid"), perf)
        else:
            print("perf is not installed: apt-get install linux-perf")
        taken = compare(pairs, arguments.rounds, arguments.seed)
    if arguments.json:
        ratios = {n: median_interval([a / b for a, b in zip(*both, strict=True)]) for n, both in taken.items()}
        print(json.dumps({n: dict(zip(("ratio", "low", "high"), found, strict=True)) for n, found in ratios.items()}))
        return 0
    apart = show(taken, arguments.rounds)
    return 1 if apart else 0


if __name__ == "__main__":
    raise SystemExit(main())
