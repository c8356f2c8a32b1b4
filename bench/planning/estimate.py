"""The expected duration of a run: from this host's last runs, or else from those of a small machine."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.capabilities import TakesTime
from isobench.core.errors import StoreError
from isobench.core.model import CONTROL_SUFFIX
from isobench.host import machine
from isobench.planning import catalog
from isobench.planning.plan import Cell, applicable
from isobench.results.store import find_runs, load_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.planning.plan import Request

_LAST = 5
"""The number of last runs that are read."""

_LAUNCH = {"process": 0.01, "chroot": 0.01, "namespace": 0.1, "runtime": 0.15, "engine": 0.45, "vmm": 1.2, "vm": 2.8}
"""Seconds from the request until everything is gone, by layer, if this host has no run."""
_OTHER_WORK = 3.0
"""Seconds of work in an instance of a scenario without `isobench.contracts.capabilities.TakesTime`."""


class Estimate(NamedTuple):
    """Seconds of one block, the basis of this estimate, and the seconds of each cell."""

    seconds: float
    origin: str
    cells: Mapping[Cell, float]


def expected(request: Request) -> Estimate:
    """One block of a run."""
    cells = applicable(request.environments, request.scenarios)
    return block_seconds(cells, request.environments, request.baseline, request.results, machine.host_id())


def block_seconds(
    cells: Sequence[Cell], environments: Iterable[Environment], baseline: str, results: Path, host_id: str
) -> Estimate:
    """One block of these cells, the baseline's twice."""
    known = _known(results, host_id)
    layers = {e.name: e.layer for e in environments}
    each = {
        cell: known.get(cell, _LAUNCH.get(layers[cell.environment], 1.0) + _typical_work(cell.scenario))
        for cell in cells
    }
    seconds = sum(one * (2 if cell.environment == baseline else 1) for cell, one in each.items())
    seen = sum(cell in known for cell in cells)
    origin = f"{seen} of {len(cells)} cells as in this host's last runs" if seen else "as on a small machine"
    return Estimate(seconds, origin, each)


def _typical_work(scenario: str) -> float:
    known = catalog.scenarios().get(scenario)
    return known.typical_seconds if isinstance(known, TakesTime) else _OTHER_WORK


def _known(results: Path, host_id: str) -> dict[Cell, float]:
    """The median seconds of every cell in the last runs of this host."""
    taken: dict[Cell, list[float]] = {}
    for path in list(find_runs(results))[-_LAST:] if results.is_dir() else ():
        try:
            session = load_session(path)
        except StoreError:
            continue
        if session.host_id == host_id:
            for record in (cell for block in session.blocks for cell in block.cells):
                cell = Cell(record.environment.removesuffix(CONTROL_SUFFIX), record.scenario)
                taken.setdefault(cell, []).append(record.seconds)
    return {cell: median(seconds) for cell, seconds in taken.items()}
