"""The plan of a block."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from isobench.planning.plan import Cell, plan

names = st.lists(st.sampled_from(["process", "chroot", "docker", "tcg"]), min_size=1, unique=True)


@given(names, st.integers(0, 2**32), st.integers(0, 50))
def test_plan_is_a_complete_block(environments: list[str], seed: int, block: int) -> None:
    """Every cell once, the baseline's second copy in every scenario that has the baseline."""
    cells = [Cell(e, s) for e in environments for s in ("startup", "io")]
    order = plan(cells, "process", seed, block)
    controls = [Cell("process@control", s) for s in ("startup", "io")] if "process" in environments else []
    assert sorted(order) == sorted(cells + controls)


@given(names, st.integers(0, 2**32), st.randoms())
def test_plan_depends_on_the_seed_alone(environments: list[str], seed: int, shuffler: object) -> None:
    """The order in which cells are given does not matter (promise G9)."""
    cells = [Cell(e, s) for e in environments for s in ("startup", "io")]
    shuffled = list(cells)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(cells, "process", seed, 3) == plan(shuffled, "process", seed, 3)


def test_plan_differs_from_block_to_block() -> None:
    """Blocks are shuffled anew."""
    cells = [Cell(e, "startup") for e in ("process", "chroot", "ns-all", "docker", "tcg")]
    assert len({tuple(plan(cells, "process", 7, block)) for block in range(20)}) > 10


def test_scenarios_stay_together() -> None:
    """The environments of one scenario follow one another, so that pairs are close in time."""
    cells = [Cell(e, s) for e in ("process", "chroot") for s in ("a", "b", "c")]
    order = [cell.scenario for cell in plan(cells, "process", 5, 1)]
    assert len([1 for x, y in itertools.pairwise(order) if x != y]) == 2
