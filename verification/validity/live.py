"""The promises that need real launches on this host. Each check takes its size as arguments; all need root."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isobench.analysis import frames
from isobench.cells.observer import Observer
from isobench.cells.runner import execute
from isobench.contracts.launch import idle
from isobench.environments.native.rungs import ENVIRONMENTS
from isobench.estimation import paired
from isobench.images.rootfs import rootfs_path
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from isobench.planning.plan import Request
from isobench.probe.launcher import launched
from isobench.results import store
from isobench.scenarios.startup import Startup, durations
from verification.crosscheck.floor import measure as floor_measure
from verification.crosscheck.floor import over_restarts
from verification.validity.promise import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isobench.contracts.environment import Environment, Sandbox

DELAYS = (0.001, 0.005, 0.020, 0.100)


def g1(trials: int = 200, blocks: int = 10, seed: int = 1) -> Line:
    """A launcher that waits within the timed path, against one that waits as long just before it, in paired blocks.

    Without that wait the other one would start on a warmer CPU, and the difference would exceed the delay.
    """
    order = random.Random(seed)
    shares, biases = {}, {}
    for delay in DELAYS:
        covered, centres = 0, []
        for _ in range(trials):
            gaps = []
            for _ in range(blocks):
                taken = {}
                for option in order.sample(("delay", "idle"), 2):
                    taken[option] = _ready(f"--{option}={delay}")
                gaps.append(taken["delay"] - taken["idle"])
            found = paired.interval(np.array(gaps))
            covered += found.low <= delay <= found.high
            centres.append(found.centre)
        shares[delay] = covered / trials
        biases[delay] = statistics.median(centres) - delay
    held = all(share >= 0.93 for share in shares.values())
    held = held and all(abs(bias) <= max(0.0002, 0.01 * delay) for delay, bias in biases.items())
    said = ", ".join(f"{d * 1e3:g} ms: {shares[d]:.1%}, bias {biases[d] * 1e6:+.0f} µs" for d in DELAYS)
    return Line("G1", "a delayed launcher: ≥ 93 % of intervals cover the delay, bias ≤ max(0.2 ms, 1 %)",
                f"{said} ({trials} trials of {blocks} blocks)", held,
                f"a share of {trials} trials is known to ±{2 * math.sqrt(0.05 * 0.95 / trials):.0%} only")  # fmt: skip


def _ready(option: str) -> float:
    root = rootfs_path()
    with launched(["./probe", "ready"], options=[option], timeout=20, folder=root) as instance:
        instance.wait()
    return durations(instance.events)["ready"]


class _Load(Observer):
    """Keeps every CPU busy, twice over, during the chosen blocks."""

    def __init__(self, blocks: set[int]) -> None:
        self.blocks = blocks
        self._hogs: list[subprocess.Popen[bytes]] = []

    def block_begins(self, index: int, last: int, seconds_left: float | None) -> None:
        if index in self.blocks:
            words = [sys.executable, "-c", "while True: pass"]
            self._hogs = [subprocess.Popen(words) for _ in range(2 * (os.cpu_count() or 1))]

    def block_ends(self, block: object, writer: object) -> None:
        self.stop()

    def stop(self) -> None:
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs = []


def g8(blocks: int = 120, repeats: int = 6, seed: int = 8) -> Line:
    """Load in 30 % of a run's blocks, against a run of as many blocks without load, several times.

    Several times, because two runs without any load differ by a percent or two.
    """
    hit = others = 0
    logs, ratios = [], []
    for repeat in range(seed, seed + repeats):
        chosen = set(random.Random(repeat).sample(range(1, blocks + 1), round(0.3 * blocks)))
        marked, loaded = _ratios(blocks, repeat, chosen)
        _, quiet = _ratios(blocks, repeat, set())
        hit, others = hit + len(marked & chosen), others + len(marked - chosen)
        logs.append(math.log(loaded / quiet))
        ratios.append((loaded, quiet))
    loads = round(0.3 * blocks) * repeats
    low, centre, high = over_restarts(logs)
    loaded, quiet = (statistics.median(side) for side in zip(*ratios, strict=True))
    held = hit / loads >= 0.9 and abs(centre - 1) < 0.02
    return Line("G8", "load in 30 % of the blocks: ≥ 90 % of them marked, bias of the ratio < 2 %",
                f"{hit / loads:.0%} of {loads} marked, and {others} others, ns-all to process {loaded:.3f} against "
                f"{quiet:.3f} in quiet runs ({centre - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}], {repeats} of each)",
                held)  # fmt: skip


def _ratios(blocks: int, seed: int, loaded: set[int]) -> tuple[set[int], float]:
    """The marked blocks, and the ratio of ns-all to process without them."""
    observer = _Load(loaded)
    with _workplace() as folder:
        chosen: list[Environment] = [e for e in ENVIRONMENTS if e.name in ("process", "ns-all")]
        request = Request(
            run_id=folder.name.removeprefix("isobench-"), environments=chosen, scenarios=[Startup()],
            baseline="process", seed=seed, profile="quick", min_blocks=blocks, max_blocks=blocks,
            max_time=None, required=frozenset(),
            results=folder / "results", workdir=folder, command=["validity", "g8"],
        )  # fmt: skip
        try:
            writer = execute(request, None, observer)
        finally:
            observer.stop()
        run = store.load(writer.path)
    marked = {block.index for block in run.session.blocks if block.marks and block.index}
    table = frames.summary(frames.samples(run), "process")
    row = table[(table["metric"] == "ready") & (table["environment"] == "ns-all")]
    return marked, float(row["ratio"].iloc[0])


@contextmanager
def _workplace() -> Iterator[Path]:
    with workspace(new_run_id(), catalog.sweep) as folder:
        yield folder


def g10(pairs: int = 60, restarts: int = 12, seed: int = 10) -> Line:
    """Two harness processes, one with 1 GB of touched memory, take turns launching the chroot rung."""
    order = random.Random(seed)
    logs = []
    for _ in range(restarts):
        with ExitStack() as stack:
            sides = {size: stack.enter_context(_harness(size)) for size in (50 << 20, 1 << 30)}
            taken: dict[int, list[float]] = {size: [] for size in sides}
            for number in range(pairs + 2):
                for size in order.sample(sorted(sides), 2):
                    value = sides[size]()
                    if number >= 2:
                        taken[size].append(value)
        small, large = (np.array(taken[size]) for size in sorted(sides))
        logs.append(float(np.median(np.log(large / small))))
    low, centre, high = over_restarts(logs)
    return Line("G10", "chroot startup from a harness of 1 GB or of 50 MB: < 2 % apart",
                f"{centre:.4f} [{low:.4f}, {high:.4f}], {restarts} restarts of {pairs} pairs",
                abs(centre - 1) < 0.02)  # fmt: skip


@contextmanager
def _harness(size: int) -> Iterator[_Ask]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, size), daemon=True)
    process.start()
    there.close()
    here.recv()
    try:
        yield _Ask(here)
    finally:
        here.close()
        process.join(30)


class _Ask:
    def __init__(self, connection: object) -> None:
        self._connection = connection

    def __call__(self) -> float:
        self._connection.send(True)  # type: ignore[attr-defined]
        return float(self._connection.recv())  # type: ignore[attr-defined]


def _serve(connection: object, size: int) -> None:
    """A harness that keeps `size` bytes of touched memory and launches the chroot rung when asked to."""
    ballast = bytearray(b"x" * size)
    environment = next(e for e in ENVIRONMENTS if e.name == "chroot")
    with _workplace() as folder:
        (folder / "chroot").mkdir()
        with environment.open(folder / "chroot") as sandbox:
            connection.send(len(ballast))  # type: ignore[attr-defined]
            try:
                while connection.recv():  # type: ignore[attr-defined]
                    connection.send(_launched(sandbox))  # type: ignore[attr-defined]
            except EOFError:
                return


def _launched(sandbox: Sandbox) -> float:
    with sandbox.launch(idle(timeout=20)) as instance:
        instance.wait()
    return durations(instance.events)["ready"]


def g11(pairs: int = 100, restarts: int = 12) -> Line:
    """The first rung of the floor benchmark; its C loop is rebuilt each time."""
    (found,) = floor_measure(["process"], pairs, restarts, 11)
    return Line("G11", "process startup is within 3 % of a bare C loop of posix_spawn and wait",
                f"{found.centre:.4f} [{found.low:.4f}, {found.high:.4f}], {restarts} restarts of {pairs} pairs",
                abs(found.centre - 1) <= 0.03)  # fmt: skip


def g12() -> Line:
    """docker against hyperfine's `docker run`, getppid against `perf bench syscall basic`."""
    done = subprocess.run(
        [sys.executable, "-m", "verification.crosscheck.hyperfine_docker", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    docker = json.loads(done.stdout)
    done = subprocess.run(
        [sys.executable, "-m", "verification.crosscheck.syscalls", "--json", "getppid"],
        capture_output=True,
        text=True,
        check=True,
    )
    syscall = json.loads(done.stdout)["getppid (perf)"]
    held = abs(docker["ratio"] - 1) <= 0.05 and abs(syscall["ratio"] - 1) <= 0.05
    return Line("G12", "docker startup agrees with hyperfine, getppid with perf bench syscall, within 5 %",
                f"docker {docker['ratio']:.3f} [{docker['low']:.3f}, {docker['high']:.3f}], "
                f"getppid {syscall['ratio']:.3f} [{syscall['low']:.3f}, {syscall['high']:.3f}]", held,
                "docker's own interval is wider than that" if docker["high"] - docker["low"] > 0.1 else "")  # fmt: skip


ALL = (g1, g8, g10, g11, g12)
