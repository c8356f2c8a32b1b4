"""Where the time of a start goes."""

from __future__ import annotations

import pytest

from isobench.layout.blocks import Figure
from isobench.report.sections import startup
from tests.unit.report.made import context, estimate


def test_phases_are_differences_of_stamps() -> None:
    """Neighbouring stamps are subtracted block by block, teardown follows, and a phase may be negative."""
    rows = [
        estimate("startup", metric, "process", ratio)
        for metric, ratio in (("created", 4.0), ("started", 3.0), ("ready", 10.0), ("gone", 2.0))
    ]
    phases = startup.phases_of(context(estimates=rows), "process")
    assert phases == pytest.approx(
        {
            "request → created": 4.12e-3,
            "created → started": -1.03e-3,
            "started → ready": 7.21e-3,
            "exit → gone": 2.06e-3,
        }
    )


def test_a_start_of_one_phase_in_one_block_has_neither_phases_nor_an_order() -> None:
    """Nothing to divide, nothing to follow; where there are phases, the note says what happens at each stamp."""
    rows = [estimate("startup", "ready", name, ratio) for name, ratio in (("process", 1.0), ("docker", 300.0))]
    captions = [b.data.caption for b in startup.build(context(estimates=rows, blocks=1)) if isinstance(b, Figure)]
    assert captions == ["Quantiles of request to first byte"]
    figures = [b for b in startup.build(context()) if isinstance(b, Figure)]
    assert len(figures) == 3 and "ready: means ready" in figures[1].note
