"""Runs as data frames: one row per sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from isobench.analysis import verdicts
from isobench.core.model import BAND, CONTROL_SUFFIX
from isobench.estimation import tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from isobench.results.store import Run

COLUMNS = ("scenario", "metric", "environment", "unit", "block", "value", "warmup", "control", "excluded")


def samples(run: Run) -> pd.DataFrame:
    """All samples of a run (ARCHITECTURE.md describes the columns); values in seconds or bytes."""
    marked = {block.index for block in run.session.blocks if block.marks}
    keys = ("scenario", "metric", "environment", "unit")
    lengths = [len(s.warmups) + len(s.values) for s in run.series]
    columns: dict[str, object] = {key: _column([getattr(s, key) for s in run.series], lengths) for key in keys}
    blocks = [np.array([b for b, _ in s.warmups] + s.blocks, dtype=np.int64) for s in run.series]
    values = [np.array([v for _, v in s.warmups] + s.values, dtype=np.float64) for s in run.series]
    warmups = [np.arange(len(s.warmups) + len(s.values)) < len(s.warmups) for s in run.series]
    controls = [s.environment.endswith(CONTROL_SUFFIX) for s in run.series]
    columns["block"] = np.concatenate(blocks) if blocks else np.array([], dtype=np.int64)
    columns["value"] = np.concatenate(values) if values else np.array([], dtype=np.float64)
    columns["warmup"] = np.concatenate(warmups) if warmups else np.array([], dtype=bool)
    columns["control"] = np.repeat(np.array(controls, dtype=bool), lengths)
    frame = pd.DataFrame(columns)
    frame["excluded"] = frame["block"].isin(marked)
    return frame[list(COLUMNS)]


def used(frame: pd.DataFrame) -> pd.DataFrame:
    """The samples that count: no warm-up, no marked block."""
    return frame[~frame["warmup"] & ~frame["excluded"]]


def summary(frame: pd.DataFrame, baseline: str, band: float = BAND) -> pd.DataFrame:
    """`verdicts.rows` of a samples frame, as a frame."""
    return pd.DataFrame(
        verdicts.rows(tables.from_frame(used(frame)), baseline, band), columns=list(verdicts.SUMMARY_COLUMNS)
    )


def differences(frame: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """`verdicts.gaps` of a samples frame, as a frame."""
    return pd.DataFrame(verdicts.gaps(tables.from_frame(used(frame)), pairs), columns=list(verdicts.DIFFERENCE_COLUMNS))


def _column(names: list[str], lengths: list[int]) -> pd.Categorical[str]:
    """A column that repeats each name as often as its series is long."""
    categories = sorted(set(names))
    place = {name: index for index, name in enumerate(categories)}
    codes = np.repeat(np.array([place[name] for name in names], dtype=np.int32), lengths)
    return pd.Categorical.from_codes(codes, categories=pd.Index(categories))
