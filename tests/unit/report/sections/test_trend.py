"""Nights, and what changed in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from isobench.layout.blocks import Figure, Table, plain
from isobench.report.build import make_context
from isobench.report.sections import trend
from tests.unit.analysis.made import night, write_run


def test_the_trend_names_confirmed_changes(tmp_path: Path) -> None:
    """Twenty nights, docker a fifth slower from the thirteenth on."""
    for night_number in range(20):
        factors = {"docker": 240.0} if night_number >= 13 else {}
        path = write_run(tmp_path, started=night(night_number), seed=night_number, blocks=6, factors=factors)
    blocks = trend.build(make_context(path))
    (changes,) = (b for b in blocks if isinstance(b, Table))
    assert len(changes.rows) == 1
    assert plain(changes.rows[0][0].text) == "1"
    assert "startup.ready/docker moved by +" in plain(changes.rows[0][2].text)
    drawn = {b.data.caption.split()[0]: b for b in blocks if isinstance(b, Figure)}
    words = re.findall(r"<text[^>]*>([^<]+)</text>", drawn["startup.ready"].picture.light)
    assert "1" in words and "date of the run (UTC)" in words
    assert len([word for word in words if re.fullmatch(r"2026-01-\d\d", word)]) in range(2, 8)
    assert "Dashed" in drawn["startup.ready"].note and "Dashed" not in drawn["The"].note
    assert re.fullmatch(
        r"Startup: startup.ready/docker moved to 1\.\d\d× near 2026-01-1\d", drawn["startup.ready"].title
    )


def _titles(results: Path, nights: int, factor: Callable[[int], float]) -> list[str]:
    for number in range(nights):
        path = write_run(results, started=night(number), seed=number, blocks=6, factors={"docker": factor(number)})
    return [block.title for block in trend.build(make_context(path)) if isinstance(block, Figure)]


def test_a_title_claims_no_move_that_is_not_confirmed(tmp_path: Path) -> None:
    """Runs that differ by a tenth by themselves, the last of them by a fifth: nobody "moved most"."""
    random = np.random.default_rng(1)
    wild = {number: 200 * float(np.exp(random.normal(0, 0.1))) for number in range(12)} | {11: 250.0}
    assert [title.partition(": ")[2] for title in _titles(tmp_path / "long", 12, wild.__getitem__)] == [
        "no confirmed change in 12 runs",
        "no confirmed change in 12 runs",
    ]
    few = _titles(tmp_path / "short", 4, wild.__getitem__)
    assert all(title.endswith(" in 4 runs: too few to confirm a change") for title in few) and len(few) == 2
