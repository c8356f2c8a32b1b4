"""When a run has enough blocks: on the width of the intervals, never on p."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from isobench.analysis.paired import FEWEST_PAIRS
from isobench.analysis.verdicts import estimates
from isobench.core.model import CONTROL_SUFFIX
from isobench.results.store import benchmark_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.results.store import Series


class WidthStopper:
    """Wants blocks until every ratio's 95 % interval is within ± `target` of its centre (0.05: ±5 %)."""

    def __init__(self, baseline: str, target: float) -> None:
        self._baseline = baseline
        self._target = math.log1p(target)

    def imprecise(self, series: Sequence[Series]) -> list[str]:
        """The benchmarks that are still too wide, or have too few pairs to tell."""
        found = {(s.scenario, s.metric, s.environment): s for s in series}
        wide = []
        for (scenario, metric, environment), mine in found.items():
            base = found.get((scenario, metric, self._baseline))
            if base is None or environment in (self._baseline, self._baseline + CONTROL_SUFFIX):
                continue
            theirs = dict(zip(base.blocks, base.values, strict=True))
            pairs = [(v, theirs[block]) for block, v in zip(mine.blocks, mine.values, strict=True) if block in theirs]
            if any(min(pair) <= 0 for pair in pairs):
                continue  # there is no ratio whose interval could become narrow
            ratio = estimates([np.array([math.log(value / other) for value, other in pairs])])[0].found
            if ratio.n < FEWEST_PAIRS or (ratio.high - ratio.low) / 2 > self._target:
                wide.append(benchmark_name(scenario, metric, environment))
        return wide
