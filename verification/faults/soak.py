"""Hundreds of blocks in one run: the harness does not grow from the first to the last, and does not become slower."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from verification.faults import leaks
from verification.faults.place import Line, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verification.faults.place import Place

RUNS = (("process,ns-all,docker", 500), ("process,tcg", 50))
EVERY = 100
"""The least number of times that a run is inspected, spread over its blocks."""


MOST_SHARE = 0.02
"""By how much the harness's share of a block's time may grow from the first block to the last."""


class Grows(NamedTuple):
    """A quantity that is watched: its unit, and by how much each cell may increase it.

    Memory may grow a little: what the analysis during the run needs of each cell is kept until its end.
    """

    unit: str
    allowed: float


QUANTITIES = {
    "memory": Grows("KiB", 4.0),
    "file descriptors": Grows("", 0.001),
    "threads": Grows("", 0.001),
    "mounts": Grows("", 0.001),
    "namespaces": Grows("", 0.001),
    "cgroups": Grows("", 0.001),
    "disk": Grows("KiB", 0.25),
}


def soak(place: Place) -> Line:
    """Two long runs, inspected from outside throughout; the note has the slopes."""
    tally, told = Tally(place), []
    for environments, blocks in RUNS:
        before = place.before()
        words = ("run", "-e", environments, "-s", "startup", "--no-report", "--blocks", str(blocks))
        process = place.start(*words, "--max-time", "60m")
        seen: list[tuple[int, Mapping[str, float]]] = []
        while process.poll() is None:
            block = place.block()
            if block > (seen[-1][0] if seen else 0) and block % max(1, blocks // EVERY) == 0:
                with suppress(OSError):
                    seen.append((block, _look(process.pid, place)))
            time.sleep(0.02)
        slopes = {name: _slope([(b, found[name]) for b, found in seen]) for name in QUANTITIES}
        shares = _harness_shares(place)
        slope, least = _slope(shares)
        share = sum(part for _, part in shares) / max(1, len(shares))
        wrong = [f"exit code {process.returncode}: {place.last_lines()}"] if process.returncode else []
        wrong += [f"{name} grows by {slopes[name][0]:.4g} {q.unit} a block" for name, q in QUANTITIES.items()
                  if slopes[name][1] > 0 and slopes[name][0] > q.allowed * (environments.count(",") + 2)]  # fmt: skip
        wrong += (
            [f"the harness's share grows by {slope * blocks:.1%}"] if least > 0 and slope * blocks > MOST_SHARE else []
        )
        tally.add("; ".join(wrong), before)
        said = ", ".join(f"{name} {slopes[name][0]:+.2g} {q.unit}".rstrip() for name, q in QUANTITIES.items())
        told.append(
            f"{blocks} blocks of {environments}, a block: {said}; the harness's share of a block is {share:.1%}, "
            f"from the first to the last {slope * blocks * 100:+.2f} points"
        )
    return tally.line("soak: hundreds of blocks", "; ".join(told))


def _look(pid: int, place: Place) -> dict[str, float]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    folders = [path for top in ("state", "work", "tmp") for path in (place.folder / top).rglob("*")]
    folders += leaks.LOGS.glob("*")
    disk = 0.0
    for path in folders:
        with suppress(OSError):
            disk += path.lstat().st_blocks / 2
    found = leaks.take(leaks.Where(place.folder, "", ""))
    return {
        "memory": float(status["VmRSS"].split()[0]),
        "threads": float(status["Threads"]),
        "file descriptors": float(len(os.listdir(f"/proc/{pid}/fd"))),
        "mounts": float(sum(kind == "mount" for kind, _ in found)),
        "namespaces": float(sum(kind == "namespace" for kind, _ in found)),
        "cgroups": float(sum(len(folders) for _, folders, _ in os.walk("/sys/fs/cgroup"))),
        "disk": disk,
    }


def _harness_shares(place: Place) -> list[tuple[int, float]]:
    """The share of each unmarked block's time, including writing it, that was spent outside instances."""
    return [
        (block.index, 1 - sum(cell.inside for cell in block.cells) / (after.started - block.started))
        for block, after in pairwise(place.last_run().session.blocks)
        if block.index > 0 and not block.marks
    ]


def _slope(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The slope by least squares, and the lower end of its 95 % interval, without the first tenth, which fills
    caches."""
    from scipy import stats  # slow, and no other fault needs it

    kept = points[len(points) // 10 :]
    if len(kept) < 3:
        return 0.0, 0.0
    found = stats.linregress([x for x, _ in kept], [y for _, y in kept])
    return float(found.slope), float(found.slope - 1.96 * found.stderr)
