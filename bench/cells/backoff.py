"""Backoff for cells that fail repeatedly: a dead daemon must not use up the whole run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from isobench.core.model import CONTROL_SUFFIX
from isobench.planning.plan import Cell
from isobench.results.record import SkipRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.results.record import BlockRecord, FailureRecord

GIVE_UP_AFTER = 3
"""Consecutive failures after which a cell is paused."""

PAUSE_SECONDS, PAUSE_FACTOR = 10.0, 10.0
"""A pause lasts ten times as long as those failures took, and at least ten seconds. Then the cell is tried again: its
daemon may have been restarted."""


class Backoff:
    """Which cells are paused, and for how long."""

    def __init__(self) -> None:
        self._failed: dict[Cell, list[float]] = {}
        """Seconds of the consecutive failures, by cell."""
        self._until: dict[Cell, float] = {}

    def active(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that are not paused now."""
        now = time.monotonic()
        return [cell for cell in cells if self._until.get(cell, 0.0) <= now]

    def count(self, block: BlockRecord, failures: Sequence[FailureRecord]) -> list[SkipRecord]:
        """Record a block; returns the cells that are paused from now on, and why."""
        reasons = {Cell(f.environment, f.scenario): f.reason for f in failures}
        begin = []
        for record in block.cells:
            cell = Cell(record.environment, record.scenario)
            if cell not in reasons or cell.environment.endswith(CONTROL_SUFFIX):
                self._failed.pop(cell, None)
                continue
            running = self._failed.setdefault(cell, [])
            running.append(record.seconds)
            if len(running) >= GIVE_UP_AFTER:
                pause = max(PAUSE_SECONDS, PAUSE_FACTOR * sum(running))
                self._until[cell] = time.monotonic() + pause
                why = f"backoff of {pause:.0f} s after failures in {len(running)} consecutive blocks: {reasons[cell]}"
                begin.append(SkipRecord(*cell, why))
                running.clear()
        return begin
