"""The values of a run by metric and environment, from a data frame or from the run itself: the input of all estimates.

A benchmark that is listed twice counts once, and environments with different units are never compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.core.model import CONTROL_SUFFIX

if TYPE_CHECKING:
    import pandas as pd

    from isobench.results.store import Run

    Tables = dict[tuple[str, str], dict[str, "Values"]]
    """(scenario, metric) -> environment -> its values."""


class Values(NamedTuple):
    """One metric in one environment, without the warm-up and marked blocks. Blocks ascend."""

    unit: str
    blocks: np.ndarray
    values: np.ndarray
    control: bool = False


def from_frame(frame: pd.DataFrame) -> Tables:
    """From a samples frame without excluded samples (`frames.used`)."""
    tables: Tables = {}
    grouped = frame.sort_values("block", kind="stable").groupby(
        ["scenario", "metric", "environment"], observed=True, sort=True
    )
    for key, part in grouped:
        scenario, metric, environment = map(str, key)
        blocks, values = part["block"].to_numpy(), part["value"].to_numpy(dtype=np.float64)
        found = Values(str(part["unit"].iloc[0]), *_once(blocks, values), bool(part["control"].iloc[0]))
        tables.setdefault((scenario, metric), {})[environment] = found
    return tables


def from_run(run: Run) -> Tables:
    """From a loaded run, without pandas."""
    marked = np.array([block.index for block in run.session.blocks if block.marks], dtype=np.int64)
    tables: Tables = {}
    for one in sorted(run.series, key=lambda s: (s.scenario, s.metric, s.environment)):
        environments = tables.setdefault((one.scenario, one.metric), {})
        blocks = np.array(one.blocks, dtype=np.int64)
        kept = ~np.isin(blocks, marked) if len(marked) else np.ones(len(blocks), dtype=bool)
        if one.environment not in environments and kept.any():
            blocks, values = blocks[kept], np.array(one.values, dtype=np.float64)[kept]
            order = np.argsort(blocks, kind="stable")
            control = one.environment.endswith(CONTROL_SUFFIX)
            environments[one.environment] = Values(one.unit, *_once(blocks[order], values[order]), control)
    return tables


def _once(blocks: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first value of each block."""
    if len(blocks) < 2 or np.all(blocks[1:] > blocks[:-1]):
        return blocks, values
    found, places = np.unique(blocks, return_index=True)
    return found, values[places]
