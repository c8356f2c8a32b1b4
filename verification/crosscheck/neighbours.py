"""A system call and a GET of redis, alone and beside an aggressor that computes on all CPUs, against the same started
by hand; and a start alone against `startup`.

By hand is chroot(8) into the same root file systems: stress-ng with the same stressor as the same user, redis with its
load generator, and the probe's loop of system calls as a process. With limits the aggressor is in a cgroup made by hand
with the same quota and memory. All take turns in random order. Exits with 1 if an interval lies wholly outside the
band.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from isobench.cells.cell import TimedSandbox
from isobench.environments.native._furnished import make_devices, mount_proc
from isobench.filesystem.mounts import unmount_below
from isobench.images.archive import unpack
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from isobench.probe.build import probe_path
from isobench.resources.cgroups import asked_here
from isobench.scenarios import _commands, _pressing, _redis
from isobench.scenarios._aggressors import AGGRESSORS
from verification.crosscheck.floor import median_interval
from verification.crosscheck.limits import IS_VERSION_2, ROOT, cgroup, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from isobench.contracts.environment import Sandbox

BAND = 0.05
CPU = next(one for one in AGGRESSORS if one.name == "cpu")
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
_SECONDS = 30.0
"""How long stress-ng or redis may take to begin."""

Costs = dict[str, float]


def scenario(sandbox: Sandbox, name: str) -> Costs:
    """What a scenario measures."""
    return dict(catalog.scenarios()[name].measure(sandbox))


def await_line(process: subprocess.Popen[str], words: str) -> None:
    """Read what it says as far as these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise RuntimeError(f"{process.args!r} ended and has not said {words!r}")


def started(words: list[str]) -> subprocess.Popen[str]:
    """In a session of its own, as the probe starts commands: the scheduler divides CPUs among sessions (autogroup)."""
    output = subprocess.PIPE
    return subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True)


@contextmanager
def aggressor(tree: Path, folders: list[Path]) -> Iterator[None]:
    """stress-ng by hand, in these cgroups."""
    user = f"{_pressing._USER}:{_pressing._USER}"
    stress = ["stress-ng", "--temp-path", "/tmp", "--timeout", "600s", "--cpu", str(len(os.sched_getaffinity(0)))]
    inside = ["chroot", f"--userspec={user}", "--groups=", str(tree), *stress]
    words = ["sh", "-c", _JOIN, "sh", *map(str, folders), "--", *inside]
    with started(words) as process:
        try:
            await_line(process, "dispatching hogs")
            time.sleep(_pressing._SETTLES)
            yield
        finally:
            process.terminate()
            process.wait(_SECONDS)


@contextmanager
def limited(run: str) -> Iterator[list[Path]]:
    """Cgroups by hand with the limits of an aggressor."""
    given = asked_here(memory_bytes=_pressing.LIMITED_MEMORY, **_pressing.SAME_LIMITS)
    folders = cgroup(run, "cpu", "memory")
    try:
        for file, value in given.items():
            folder = folders[0] if IS_VERSION_2 else ROOT / file.partition(".")[0] / run / "by-hand"
            (folder / file).write_text(value)
        yield folders
    finally:
        remove(folders)


def victims(tree: Path) -> Costs:
    """The mean of a system call and the seconds of a GET, by hand."""
    words = [str(probe_path()), "syscall", "--batches=400", "--pin", "getppid"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    taken = json.loads(said.splitlines()[-1])["ns"]
    shutil.rmtree(tree / "run", ignore_errors=True)
    (tree / "run").mkdir()
    inside = ["chroot", str(tree)]
    with started([*inside, *_redis._SERVER]) as server:
        try:
            await_line(server, "Ready to accept connections")
            driver = [*inside, *_redis._DRIVER]
            done = subprocess.run(driver, capture_output=True, text=True, check=True, start_new_session=True)
        finally:
            server.terminate()
            server.wait(_SECONDS)
    rate = _redis._RATE.search(done.stdout)
    assert rate is not None
    return {"syscall": sum(taken) / len(taken) / 1e9, "redis": 1 / float(rate[1])}


def compare(sides: Mapping[str, Callable[[], Costs]], pairs: Mapping[str, tuple[str, str]], rounds: int) -> bool:
    """Measure the sides in random order; print the ratio of each pair of SIDE.COST; whether one differs."""
    order, taken = random.Random(7), dict[str, list[float]]()
    for number in range(rounds):
        for name in order.sample(list(sides), len(sides)):
            for cost, value in sides[name]().items():
                taken.setdefault(f"{name}.{cost}", []).append(value)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    differs = False
    for what, (ours, theirs) in pairs.items():
        middle, low, high = median_interval([a / b for a, b in zip(taken[ours], taken[theirs], strict=True)])
        print(f"{what:44} ratio {middle:.3f} [{low:.3f}, {high:.3f}]", flush=True)
        differs |= low > 1 + BAND or high < 1 / (1 + BAND)
    return differs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    rounds = parser.parse_args().rounds
    apart = []
    with workspace(new_run_id(), catalog.sweep) as workdir:
        trees = {"stress-ng": _pressing.made(), "redis": _redis.made()}
        for name, archive in trees.items():
            unpack(_commands.archive(archive), workdir / name)
            make_devices(workdir / name / "dev")
            mount_proc(workdir / name / "proc")
        try:
            apart.append(_beside(workdir, "process", "neighbour-cpu", nullcontext([]), rounds))
            limits = limited(workdir.name)
            apart.append(_beside(workdir, "ns-all+cgroup", "neighbour-cpu-limited", limits, rounds))
        finally:
            for name in trees:
                unmount_below(workdir / name)
    return int(any(apart))


def _beside(
    workdir: Path, environment: str, beside: str, cgroups: AbstractContextManager[list[Path]], rounds: int
) -> bool:
    """One environment and one aggressor."""
    (workdir / environment).mkdir(mode=0o711)
    with cgroups as folders, catalog.environments()[environment].open(workdir / environment) as opened:
        sandbox = TimedSandbox(opened)

        def by_hand_beside() -> Costs:
            with aggressor(workdir / "stress-ng", folders):
                return victims(workdir / "redis")

        sides: dict[str, Callable[[], Costs]] = {
            "alone": lambda: scenario(sandbox, "neighbour-none"),
            "beside": lambda: scenario(sandbox, beside),
            "hand-alone": lambda: victims(workdir / "redis"),
            "hand-beside": by_hand_beside,
            "startup": lambda: scenario(sandbox, "startup"),
        }
        pairs = {
            f"{environment}, {cost}, {place}": (f"{place}.{cost}", f"hand-{place}.{cost}")
            for cost in ("syscall", "redis")
            for place in ("alone", "beside")
        }
        pairs[f"{environment}, start alone, against startup"] = ("alone.start", "startup.ready")
        return compare(sides, pairs, rounds)


if __name__ == "__main__":
    raise SystemExit(main())
