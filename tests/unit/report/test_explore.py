"""What a page holds of the values themselves, for its script."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from isobench.layout import html
from isobench.layout.page import Page
from isobench.report import explore
from isobench.report.build import make_context, page_of
from tests.unit.report.made import HOSTILE, write_run

if TYPE_CHECKING:
    from pathlib import Path


def test_every_value_is_there(tmp_path: Path) -> None:
    """By cost, environment and block, as many digits as are shown; the control too; where one is missing, none."""
    context = make_context(write_run(tmp_path, keep=lambda block, one: (block, one.environment) != (2, "docker")))
    found = explore.explorer(context)
    assert found is not None and found.baseline == "process" and found.blocks == [1, 2, 3, 4, 5]
    assert found.costs[0].name == "startup.ready"
    rows = {(cost.name, row.environment): row for cost in found.costs for row in cost.rows}
    assert rows.keys() == {(one.name, one.environment) for one in context.estimates}
    for one in context.estimates:
        row = rows[one.name, one.environment]
        blocks, values = context.values(one.scenario, one.metric, one.environment)
        wanted = dict(zip(blocks, values, strict=True))
        assert row.values == [pytest.approx(wanted[n], rel=1e-3) if n in wanted else None for n in found.blocks]
        assert row.median == pytest.approx(one.median, rel=1e-3)
    assert rows["startup.ready", "docker"].values[1] is None
    assert json.loads(found.data)["costs"][0][2][0][:2] == ["process", context.title("process")]


def test_a_large_run_is_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whole blocks, so that each is still held against its own baseline."""
    context = make_context(write_run(tmp_path, blocks=9))
    whole = explore.explorer(context)
    assert whole is not None
    monkeypatch.setattr(explore, "MOST_VALUES", sum(len(row.values) for cost in whole.costs for row in cost.rows) // 3)
    found = explore.explorer(context)
    assert found is not None and found.blocks == [1, 4, 7]
    assert found.costs[0].rows[0].values == whole.costs[0].rows[0].values[::3]


def test_no_word_of_a_result_gets_out(tmp_path: Path) -> None:
    """Out of the attribute that it is in; and only the page's own script is allowed to run."""
    page = page_of(make_context(write_run(tmp_path, HOSTILE)))
    text = html.lay_out(page)
    assert text.count("<script>") == 1 and "alert(1)</script" not in text
    assert "script-src 'sha256-" in text


def test_a_page_without_values_has_no_script() -> None:
    text = html.lay_out(Page("t", "s", "f", []))
    assert "script" not in text and "explore" not in text.partition("</style>")[2]
