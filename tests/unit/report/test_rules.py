"""What sentences claim, and how often they are wrong: each rule on runs of which the truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from isobench.analysis.results import Difference
from isobench.report import rules
from isobench.report.caveats import caveats
from isobench.report.context import Context
from tests.unit.report.made import estimate
from verification.validity.runs import Costs, context_of, quiet


def _only(costs: Costs) -> Context:
    return context_of({("startup", "ready", name): values for name, values in costs.items()})


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict", "words"),
    [
        (1.04, 1.03, 1.04, "equivalent", "1.04×, nearly the same"),
        (1.00, 0.99, 1.01, "equivalent", "the same"),
        (1.30, 1.20, 1.40, "slower", "1.30×"),
        (1.10, 0.90, 1.30, "inconclusive", "no certain difference"),
        (1.10, 1.02, 1.30, "inconclusive", "1.10×, inconclusive"),
        (1.10, math.nan, math.nan, "inconclusive", "about 1.10×, too few blocks"),
    ],
)
def test_a_ratio_in_words(ratio: float, low: float, high: float, verdict: str, words: str) -> None:
    row = estimate("startup", "ready", "docker", ratio, ratio_low=low, ratio_high=high, verdict=verdict)
    assert rules.said(row) == words


def test_nobody_is_named_in_pure_noise() -> None:
    """Sixty runs of ten equal environments: who differs, is dearest, or moved is named in at most one of twenty."""
    random = np.random.default_rng(1)
    named = {"differing": 0, "dearest": 0, "drifting": 0, "cheapest": 0, "foremost": 0, "farthest": 0}
    for _ in range(60):
        costs = quiet(random, 10, 12, 0.2)
        made = _only(costs)
        rows = made.select("startup", "ready")
        named["differing"] += bool(rules.differing(rows, "process"))
        named["dearest"] += bool(rules.dearest(rows))
        named["cheapest"] += bool(rules.cheapest(made, rows))
        logs = {row.environment: dict(enumerate(costs[row.environment])) for row in rows}
        named["foremost"] += rules.foremost(made, logs) is not None
        named["farthest"] += rules.farthest(made, logs) is not None
        named["drifting"] += rules.drifting({row.environment: made.values("startup", "ready", row.environment)
                                             for row in rows}) is not None  # fmt: skip
    assert max(named.values()) <= 60 * 0.05 + 3, named


def test_what_is_called_free_is_not_dearer() -> None:
    """Sixty runs of two environments that cost the same and two, said to be stronger, that cost 8 % more: one of the
    former is found in nine of ten, one of the latter in none."""
    random = np.random.default_rng(6)
    found = []
    for _ in range(60):
        costs = quiet(random, 4, 20, 0.02)
        for name in ("e2", "e3"):
            costs[name] = costs[name] + math.log(1.08)
        free = rules.strongest_free([r for r in _only(costs).select("startup", "ready") if r.environment != "process"])
        found += [free.environment] if free is not None else []
    assert len(found) >= 54 and set(found) <= {"e0", "e1"}


def test_order_comes_from_the_pairs_of_two_not_from_the_overlap_of_their_ratios() -> None:
    """A wild baseline makes both ratios wide; block by block the one is 10 % dearer than the other, every time."""
    random = np.random.default_rng(2)
    common = random.normal(0, 0.02, 16)
    costs = {
        "process": random.normal(0, 0.5, 16),
        "a": common + 1,
        "b": common + 1 + math.log(1.1) + random.normal(0, 0.01, 16),
    }
    made = _only(costs)
    rows = made.select("startup", "ready")
    a, b = (next(row for row in rows if row.environment == name) for name in "ab")
    assert a.ratio_high > b.ratio_low, "the ratios overlap"
    assert rules.apart(made, "startup", "ready", "a", ["b"])["b"] == pytest.approx(1.1, rel=0.02)
    assert rules.cheapest(made, rows) == {"a"}


def test_the_dearest_are_all_whom_the_highest_does_not_clear() -> None:
    """Named alone only where no other interval reaches it; nobody where even the highest may be the baseline's."""
    rows = [estimate("startup", "ready", name, ratio) for name, ratio in (("a", 3.0), ("b", 2.96), ("c", 2.0))]
    assert [row.environment for row in rules.dearest(rows)] == ["a", "b"]
    assert rules.dearest([row._replace(verdict="inconclusive") for row in rows]) == []


def test_the_foremost_and_the_farthest_are_named_where_they_are() -> None:
    """One is half as much again as the others, and one half: the first is the largest, the two are farthest apart. One
    that is missing from most blocks may be as large: then nobody is."""
    costs = quiet(np.random.default_rng(4), 5, 12, 0.03)
    made, logs = _only(costs), {name: dict(enumerate(row)) for name, row in costs.items()}
    logs["e1"] = {block: value + math.log(1.5) for block, value in logs["e1"].items()}
    logs["e2"] = {block: value - math.log(2) for block, value in logs["e2"].items()}
    assert rules.foremost(made, logs) == "e1"
    found = rules.farthest(made, logs)
    assert found is not None and found[:2] == ("e2", "e1") and found[2] == pytest.approx(3, rel=0.05)
    logs["e3"] = {block: value for block, value in logs["e3"].items() if block < 5}
    assert rules.foremost(made, logs) is None
    assert rules.foremost(made, {}) is None and rules.farthest(made, {"a": {1: 1.0}}) is None


def test_two_costs_of_a_run_that_wanders_are_held_against_what_all_show() -> None:
    """Blocks remember nine tenths of the last one. Two costs by themselves hardly show it and seem apart in every
    fourth run; forty do."""
    random = np.random.default_rng(8)
    apart = 0
    for _ in range(60):
        costs = {("s", f"m{metric}", name): logs for metric in range(5)
                 for name, logs in quiet(random, 6, 12, 0.1, "AR(1) 0.9").items()}  # fmt: skip
        apart += bool(rules.apart(context_of(costs), "s", "m0", "e0", ["e1"]))
    assert apart <= 60 * 0.05 + 3, apart


def test_a_step_stands_out_only_above_all_others() -> None:
    steps = [Difference("startup", "ready", name, "process", "second", 20, value, value - 0.1, value + 0.1)
             for name, value in (("a", 1.0), ("b", 0.5), ("c", -2.0))]  # fmt: skip
    assert rules.outstanding(steps) == steps[0]
    assert rules.outstanding([steps[0], steps[0]._replace(value=0.95, low=0.85, high=1.05)]) is None
    assert rules.outstanding([steps[2]]) is None and rules.outstanding([]) is None


def test_who_moved_is_named() -> None:
    """One of five climbs by half during the run."""
    costs = quiet(np.random.default_rng(3), 5, 24, 0.03)
    costs["e2"] = costs["e2"] + np.linspace(0, math.log(1.5), 24)
    made = _only(costs)
    found = rules.drifting({name: made.values("startup", "ready", name) for name in costs if "@" not in name})
    assert found is not None and found[0] == "e2" and found[1] == pytest.approx(1.22, rel=0.05)


def test_four_of_five_runs_find_what_the_report_says_they_would() -> None:
    """The smallest effect, planted in the next run of the same kind: found in 70 to 97 % of them."""
    random = np.random.default_rng(4)
    found = 0
    for _ in range(150):
        made = _only(quiet(random, 4, 20, 0.05))
        control = made.find("startup", "ready", "process@control")
        assert control is not None
        costs = quiet(random, 4, 20, 0.05)
        costs["e0"] = costs["e0"] + math.log1p(control.mde)
        row = _only(costs).find("startup", "ready", "e0")
        assert row is not None
        found += row.verdict == "slower"
    assert 0.70 <= found / 150 <= 0.97, found / 150


def test_the_first_screen_says_what_the_control_takes_back(tmp_path: Path) -> None:
    """A second copy that is 30 % dearer gives a caveat with the rule, and how far it strayed."""
    costs = quiet(np.random.default_rng(5), 3, 12, 0.02)
    assert not any("control failed" in text for text in caveats(_only(costs)))
    costs["process@control"] = costs["process@control"] + math.log(1.3)
    (told,) = [text for text in caveats(_only(costs)) if "control failed" in text]
    assert "1.3" in told
