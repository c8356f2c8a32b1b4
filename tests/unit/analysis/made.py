"""Runs on disk with known numbers, for the analysis of many runs."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from isobench.results.journal import Sample
from isobench.results.record import SCHEMA, BlockRecord, EnvironmentRecord, MetricRecord, ScenarioRecord, Session
from isobench.results.store import RunWriter

NAMES = ("process", "process@control", "chroot", "docker")


def session(started: str = "2026-01-01T02:00:00Z", host: str = "host", kernel: str = "6.1") -> Session:
    """A record of one scenario with one metric."""
    return Session(
        schema=SCHEMA,
        run_id=started,
        isobench="0",
        host_id=host,
        started=started,
        command=["isobench", "run"],
        seed=1,
        profile="default",
        baseline="process",
        host={},
        fingerprint={"kernel": kernel},
        versions={},
        environments=[EnvironmentRecord(n, n, "process", "", None, False) for n in NAMES if "@" not in n],
        scenarios=[ScenarioRecord("startup", "Startup", [MetricRecord("ready", "second", "until ready")])],
    )


def write_run(
    results: Path,
    *,
    started: str = "2026-01-01T02:00:00Z",
    host: str = "host",
    kernel: str = "6.1",
    factors: dict[str, float] | None = None,
    blocks: int = 12,
    seed: int = 1,
    noise: float = 0.01,
    finished: str = "",
) -> Path:
    """A run whose environments cost `factors` times a millisecond, with noise; gives its folder."""
    random = np.random.default_rng(seed)
    costs = {"process": 1.0, "process@control": 1.0, "chroot": 1.1, "docker": 200.0, **(factors or {})}
    writer = RunWriter(results, session(started, host, kernel), {("startup", "ready"): "second"})
    for index in range(blocks + 1):
        samples = [
            Sample(index, name, "startup", "ready", 1e-3 * cost * math.exp(random.normal(0, noise)))
            for name, cost in costs.items()
        ]
        writer.add_block(BlockRecord(index, float(index), 1.0, []), samples, [])
    writer.amend(finished=finished or started, stopped="blocks")
    writer.finish()
    return writer.path


def night(number: int) -> str:
    """The start of a night."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_232_800 + 86_400 * number))
