"""When a run has enough blocks: on the width of the intervals, never on p."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from isobench.analysis.verdicts import estimates, families_of
from isobench.core.model import CONTROL_SUFFIX
from isobench.estimation.paired import FEWEST_PAIRS
from isobench.results.store import benchmark_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.results.store import Series


class WidthStopper:
    """Requests blocks until every ratio's 95 % interval is within ± `target` of its centre (0.05: ±5 %)."""

    def __init__(self, baseline: str, target: float) -> None:
        self._baseline = baseline
        self._target = math.log1p(target)

    def imprecise(self, series: Sequence[Series]) -> list[str]:
        """The benchmarks whose intervals are still too wide, or that have too few pairs."""
        found = {(s.scenario, s.metric, s.environment): s for s in series}
        logs = {}
        for (scenario, metric, environment), mine in found.items():
            base = found.get((scenario, metric, self._baseline))
            if base is None or environment == self._baseline:
                continue
            theirs = dict(zip(base.blocks, base.values, strict=True))
            pairs = [(v, theirs[block]) for block, v in zip(mine.blocks, mine.values, strict=True) if block in theirs]
            if any(min(pair) <= 0 for pair in pairs):
                continue  # there is no ratio whose interval could become narrow
            logs[scenario, metric, environment] = np.array([math.log(value / other) for value, other in pairs])
        ratios = [one.found for one in estimates(list(logs.values()), families_of(logs))]  # as in the summary
        return [
            benchmark_name(*cost)
            for cost, ratio in zip(logs, ratios, strict=True)
            if not cost[2].endswith(CONTROL_SUFFIX)
            and (ratio.n < FEWEST_PAIRS or (ratio.high - ratio.low) / 2 > self._target)
        ]
