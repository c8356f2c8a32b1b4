"""A run beside another one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec

from isobench.analysis.results import load
from isobench.layout.blocks import Banner, Figure, Items, plain
from isobench.report.build import make_context
from isobench.report.sections import comparison, trend
from tests.unit.analysis.made import write_run
from tests.unit.report.made import context, row_of, with_session


def test_a_confirmed_change_is_drawn_and_the_rest_is_folded(tmp_path: Path) -> None:
    """Docker a fifth slower than in the run before; nothing else moved."""
    before = write_run(tmp_path, started="2026-01-01T02:00:00Z", seed=1)
    now = write_run(tmp_path, started="2026-01-02T02:00:00Z", seed=2, factors={"docker": 240.0})
    blocks = comparison.build(make_context(now, load(before)))
    figure = next(b for b in blocks if isinstance(b, Figure))
    assert figure.title.startswith("The largest change is startup.ready of docker: 1.19")
    assert len(figure.data.rows) == 1 and row_of(figure.data, "startup.ready")[-1] == "slower"
    assert any(
        "1 of 2 costs of environments changed" in plain(line)
        for b in blocks
        if isinstance(b, Items)
        for line in b.entries
    )


def test_a_comparison_names_what_differs_between_the_hosts() -> None:
    """A changed fingerprint and another host are said before any number."""
    made = context()
    session = msgspec.structs.replace(made.session, host_id="other", fingerprint={"kernel": "6.1", "qemu": "7.2"})
    other = with_session(made, session)
    blocks = comparison.build(dataclasses.replace(made, other=other.results))
    words = " ".join(plain(b.text) for b in blocks if isinstance(b, Banner))
    assert "different hosts" in words and "kernel: 6.1 → not recorded and qemu: 7.2 → not recorded" in words


def test_without_a_second_run_there_is_no_comparison_and_no_trend() -> None:
    """Sections whose data are absent say nothing."""
    assert comparison.build(context()) == [] and trend.build(context()) == []
