"""The verdict: one decision for each need, and who is the cheapest."""

from __future__ import annotations

import pytest

from isobench.layout.blocks import Items, Table, plain
from isobench.report.context import Context
from isobench.report.sections import verdict
from tests.unit.report.made import context, estimate, row_of


def decisions(made: Context) -> list[str]:
    """The lines of the verdict that decide."""
    (items,) = (block for block in verdict.build(made) if isinstance(block, Items))
    return [plain(entry) for entry in items.entries]


def test_the_verdict_decides_each_need() -> None:
    """The strongest isolation that is free, then what stronger ones cost, with ratio and value."""
    rows = [
        estimate("startup", "ready", name, ratio)
        for name, ratio in (("process", 1.0), ("chroot", 1.0), ("ns-all", 1.01), ("docker", 300.0))
    ]
    made = context(estimates=rows)
    assert decisions(made)[0] == (
        "Startup (request to first byte; process 1.00 ms): ns-all costs the same (1.01× [0.990, 1.03]); "
        "docker 300× (300 ms)."
    )
    table = next(b for b in verdict.build(context()) if isinstance(b, Table))
    assert row_of(table, "docker")[1] == "300 ms 300× [294, 306]"
    assert "tcg-null" not in [plain(row[0].text) for row in table.rows]


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (0.99, 1.04, "equivalent", "the same"),
        (1.03, 1.045, "equivalent", "nearly the same"),
        (0.85, 0.92, "faster", "less"),
    ],
)
def test_free_is_the_same_only_where_the_interval_holds_one(low: float, high: float, verdict: str, words: str) -> None:
    rows = [
        estimate("startup", "ready", "process", 1.0),
        estimate("startup", "ready", "chroot", (low * high) ** 0.5, ratio_low=low, ratio_high=high, verdict=verdict),
    ]
    (line,) = (text for text in decisions(context(estimates=rows, blocks=6)) if text.startswith("Startup"))
    assert f"chroot costs {words} (" in line


def test_a_decision_claims_no_number_for_what_is_not_a_difference() -> None:
    """An inconclusive ratio around 1 is no certain difference; one that is away from it is said to be inconclusive."""
    rows = [
        estimate("startup", "ready", "process", 1.0),
        estimate("startup", "ready", "ns-all", 1.02, ratio_low=0.9, verdict="inconclusive"),
        estimate("startup", "ready", "docker", 1.5, ratio_low=1.2, verdict="inconclusive"),
    ]
    (line,) = (text for text in decisions(context(estimates=rows)) if text.startswith("Startup"))
    assert line.endswith(": no certain difference in ns-all; docker 1.50× (1.50 ms, inconclusive).")


def test_a_guest_that_was_emulated_decides_nothing() -> None:
    """It stands in the table, marked; no decision names its number, and what is missing is said with the reason."""
    lines = decisions(context())
    assert not any("tcg" in line for line in lines[:-1])
    assert lines[-1] == "A kernel of its own is not decided by this run: tcg ran on an emulated processor."
    table = next(b for b in verdict.build(context()) if isinstance(b, Table))
    assert row_of(table, "tcg")[0] == "tcg (an emulated processor)"


def test_the_cheapest_isolation_is_one_that_can_run_a_program_and_nobody_dearer_shares_the_mark() -> None:
    """A null kernel never is the answer to a need; who costs 2 % more in each block is told apart, overlap or not."""
    rows = [
        estimate("startup", "ready", n, r)
        for n, r in (("process", 1.0), ("tcg-null", 2.0), ("ns-all", 3.0), ("docker", 3.05), ("tcg", 4.0))
    ]
    table = next(b for b in verdict.build(context(estimates=rows, blocks=8)) if isinstance(b, Table))
    assert [row_of(table, n)[1].startswith("✓") for n in ("ns-all", "docker", "tcg")] == [True, False, False]
