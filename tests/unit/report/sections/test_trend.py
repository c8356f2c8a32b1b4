"""Nights, and what changed in them."""

from __future__ import annotations

import re
from pathlib import Path

from isobench.report.blocks import Figure, Table, plain
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
