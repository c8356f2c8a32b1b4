"""The plan of a run: the request, its cells, and their order in each block. Pure functions."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.model import CONTROL_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.contracts.scenario import Scenario
    from isobench.results.store import Run


class Cell(NamedTuple):
    """One measurement to take in a block: one scenario in one environment (or in the baseline's second copy)."""

    environment: str
    scenario: str


class Request(NamedTuple):
    """What to run. `seed` decides the order of everything."""

    run_id: str
    environments: Sequence[Environment]
    scenarios: Sequence[Scenario]
    baseline: str
    seed: int
    profile: str
    min_blocks: int
    max_blocks: int
    max_time: float | None
    """Seconds; the run stops before a block that would end later."""
    required: frozenset[str]
    results: Path
    workdir: Path
    """The run's own folder `isobench-<run id>`, which the caller creates and removes."""
    command: Sequence[str]
    beneath: Sequence[Environment] = ()
    """Rungs of the ladder that are not run, but are below one that is; the report names them."""
    sweep: Callable[[str], list[str]] | None = None
    """Removes what a run of this name left in the mechanisms, and reports it (`isobench.planning.catalog.sweep`)."""
    label: str = ""
    before: Run | None = None
    """The run to resume: its plan, its record, its folder."""
    timeout: float | None = None
    """Seconds that an instance has to become ready; None: learned."""


def most_blocks(wanted: int) -> int:
    """The most blocks that are measured to get this many usable ones: half as many again."""
    return wanted + max(1, wanted // 2)


def plan(cells: Sequence[Cell], baseline: str, seed: int, block: int) -> list[Cell]:
    """The order of one block: scenarios shuffled, and within each its environments and the baseline's second copy.

    The environments of one scenario stay together, so that the pairs of a block are close in time. Depends only on the
    set of cells, the seed and the block, not on the order of `cells`.
    """
    order = random.Random(f"{seed}/{block}")
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(set(cells)):
        groups.setdefault(cell.scenario, []).append(cell)
        if cell.environment == baseline:
            groups[cell.scenario].append(Cell(baseline + CONTROL_SUFFIX, cell.scenario))
    names = list(groups)
    order.shuffle(names)
    for name in names:
        order.shuffle(groups[name])
    return [cell for name in names for cell in groups[name]]


def applicable(environments: Sequence[Environment], scenarios: Sequence[Scenario]) -> list[Cell]:
    """Every scenario in every environment with the capabilities it needs; one without metrics reports only facts."""
    return [Cell(e.name, s.name) for e in environments for s in scenarios if s.metrics and s.needs <= e.capabilities]
