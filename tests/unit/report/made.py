"""Contexts made by hand: a small run whose every number is known, with hostile words where a test wants them."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from isobench.analysis.results import Difference, Estimate, Results
from isobench.layout.blocks import Block, Details, Figure, Table, plain
from isobench.report.context import Context
from isobench.report.rungs import find_rungs
from isobench.results.journal import Sample
from isobench.results.record import (
    BlockRecord,
    CellRecord,
    EnvironmentRecord,
    FailureRecord,
    MetricRecord,
    ScenarioRecord,
    Session,
    SkipRecord,
)
from isobench.results.store import Run, RunWriter, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOSTILE = (
    "<script>alert(1)</script> | `code` \"quoted\" 'x' &amp; [a](http://evil.example) **b**\n# h\r\n"
    "\u202eRTL\u200f\x1b[31m"
)
"""What a result may contain and no page may obey."""

METRICS = {
    "startup": ("created", "started", "ready", "exit", "gone", "cpu"),
    "memory": ("pss", "rss", "cgroup"),
    "syscall": ("getppid", "stat"),
    "io": ("randread-4k", "seqread-1m"),
}

ENVIRONMENTS = (
    ("process", "process", None, False, 1.0),
    ("chroot", "chroot", "process", True, 1.1),
    ("ns-all", "namespace", "process", False, 5.0),
    ("docker", "engine", "ns-all", False, 300.0),
    ("tcg-null", "vmm", "process", False, 700.0),
    ("tcg", "vm", "tcg-null", True, 3000.0),
)
"""Name, layer, compared with, single factor, and how many times the baseline everything costs."""

_BASE = {"startup": 1e-3, "memory": 1 << 20, "syscall": 1e-7, "io": 1e-4}


def session(
    words: str = "",
    skips: Sequence[SkipRecord] = (),
    environments: Sequence[tuple[str, str, str | None, bool, float]] = ENVIRONMENTS,
) -> Session:
    """The record of the made run; `words` are put wherever a record holds free text."""
    return Session(
        schema=1,
        run_id="20260102-030405-abc",
        isobench="0.1",
        host_id="host",
        started="2026-01-02T03:04:05Z",
        command=["isobench", "run", "--seed", "7", *([words] if words else [])],
        seed=7,
        profile="quick",
        baseline="process",
        host={"cpu": f"Test CPU{words}", "virtual": f"virtual machine{words}"},
        fingerprint={},
        versions={"python": f"3.11{words}"},
        environments=[
            EnvironmentRecord(
                name, name + words, layer, f"what {name} adds{words}", below, single, {"flags": f"-x{words}"}
            )
            for name, layer, below, single, _ in environments
        ],
        scenarios=[
            ScenarioRecord(
                scenario,
                scenario.title() + words,
                [MetricRecord(m, "byte" if scenario == "memory" else "second", f"means {m}{words}") for m in metrics],
            )
            for scenario, metrics in METRICS.items()
        ],
        skips=[SkipRecord("kvm", "", f"no guest came up{words}", f"use bare metal{words}"), *skips],
        failures=[FailureRecord(2, "tcg", "io", f"fio did not end{words}", f"last line{words}")],
        blocks=[
            BlockRecord(b, b * 10.0, 10.0, [CellRecord("process", "startup", b * 10.0, 1.0, 0.97)], [])
            for b in range(6)
        ],
        finished="2026-01-02T03:14:05Z",
        stopped="blocks",
    )


def estimate(scenario: str, metric: str, environment: str, ratio: float, **changes: object) -> Estimate:
    """An estimate whose median is the base cost times `ratio`, with an interval of ±2 %."""
    control = environment.endswith("@control")
    values: dict[str, object] = {
        "scenario": scenario,
        "metric": metric,
        "environment": environment,
        "unit": "byte" if scenario == "memory" else "second",
        "n": 5,
        "median": _BASE.get(scenario, 1e-3) * ratio,
        "q25": _BASE.get(scenario, 1e-3) * ratio * 0.98,
        "q75": _BASE.get(scenario, 1e-3) * ratio * 1.02,
        "minimum": _BASE.get(scenario, 1e-3) * ratio * 0.97,
        "ratio": ratio,
        "ratio_low": ratio * 0.98,
        "ratio_high": ratio * 1.02,
        "p": 0.5,
        "p_holm": 1.0,
        "verdict": "slower" if ratio * 0.98 > 1.05 else "equivalent",
        "mde": 0.03,
        "control": control,
    }
    return Estimate(**{**values, **changes})  # type: ignore[arg-type]


def context(words: str = "", estimates: Sequence[Estimate] | None = None, blocks: int = 5) -> Context:
    """A run of five blocks, or more, in which the value of block b is its cost times (1 + b / 100)."""
    chosen = list(estimates) if estimates is not None else _estimates()
    series = [
        Series(e.scenario, e.metric, e.environment, e.unit, list(range(1, blocks + 1)),
               [e.median * (1 + b / 100) for b in range(1, blocks + 1)], [(0, e.median)])
        for e in chosen
    ]  # fmt: skip
    return Context(results_of(Run(Path("results/host/20260102T030405Z"), session(words), series), chosen))


def results_of(run: Run, estimates: Sequence[Estimate]) -> Results:
    """A run whose summary is made by hand."""
    results = Results(run)
    results.__dict__["estimates"] = list(estimates)
    return results


def with_session(made: Context, record: Session) -> Context:
    """The same run with another record."""
    return Context(results_of(made.run._replace(session=record), made.estimates))


def _estimates(environments: Sequence[tuple[str, str, str | None, bool, float]] = ENVIRONMENTS) -> list[Estimate]:
    found = []
    for scenario, metrics in METRICS.items():
        for metric in metrics:
            for name, layer, _, _, times in environments:
                if layer == "vmm" and scenario in ("syscall", "io"):
                    continue
                found.append(estimate(scenario, metric, name, times if scenario != "syscall" else times**0.2))
            found.append(estimate(scenario, metric, "process@control", 1.001))
    return found


def write_run(
    results: Path,
    words: str = "",
    blocks: int = 5,
    *,
    keep: Callable[[int, Estimate], bool] = lambda _block, _estimate: True,
    environments: Sequence[tuple[str, str, str | None, bool, float]] = ENVIRONMENTS,
    failures: Sequence[FailureRecord] | None = None,
    **changes: object,
) -> Path:
    """The same run as a folder on disk; gives the folder.

    Of each block only the samples that `keep` wants are written; `changes` replace fields of the record.
    """
    record = msgspec.structs.replace(session(words, environments=environments), **changes)
    failed = record.failures if failures is None else failures
    units = {(s.name, m.name): m.unit for s in record.scenarios for m in s.metrics}
    empty = msgspec.structs.replace(record, blocks=[], failures=[])
    writer = RunWriter(results, empty, {key: str(unit) for key, unit in units.items()})
    noise = random.Random(7)
    for index in range(blocks + 1):
        samples = [
            Sample(index, e.environment, e.scenario, e.metric, e.median * math.exp(noise.gauss(0, 0.03)))
            for e in _estimates(environments)
            if keep(index, e)
        ]
        block = BlockRecord(index, index * 10.0, 10.0, [CellRecord("process", "startup", index * 10.0, 1.0, 0.97)])
        writer.add_block(block, samples, [failure for failure in failed if failure.block == index])
    writer.finish()
    return writer.path


def with_differences(made: Context) -> Context:
    """The same context, its differences filled from the medians instead of by the analysis."""
    found = []
    for rung in find_rungs(made):
        for metric in ("ready", "gone", "cpu"):
            upper, lower = (made.find("startup", metric, name) for name in (rung.upper, rung.lower))
            assert upper is not None and lower is not None
            gap = upper.median - lower.median
            found.append(Difference("startup", metric, rung.upper, rung.lower, "second", 5, gap, gap * 0.9, gap * 1.1))
    made.__dict__["differences"] = found
    return made


def with_differences_of_none(made: Context) -> Context:
    """The same context without any rung."""
    made.__dict__["differences"] = []
    return made


def all_tables(blocks: list[Block]) -> list[Table]:
    """Every table of these blocks, those in figures and folds too."""
    found = []
    for block in blocks:
        if isinstance(block, Table):
            found.append(block)
        elif isinstance(block, Figure):
            found.append(block.data)
        elif isinstance(block, Details):
            found += all_tables(block.blocks)
    return found


def row_of(table: Table, name: str) -> list[str]:
    """The words of the row that begins with this name."""
    rows = [[plain(cell.text) for cell in row] for row in table.rows]
    return next(row for row in rows if row[0].split()[0] == name)


def overlays(*names: str) -> Context:
    """A run of copy-ups in these environments, 5 ms through an overlay and 1 ms without, and more blocks than six."""
    adds = "its data on a named volume instead of the overlay"
    volume = EnvironmentRecord("docker-volume", "volume", "engine", adds, "docker", True, {"storage": "a named volume"})
    metrics = [(f"copy-up-{size}", 10.0) for size in ("1k", "1m", "100m")] + [("again-1m", 1.0)]
    dear = {"docker": 5.0, "ns-all": 5.0}
    rows = [estimate("io", m, n, times * dear.get(n, 1.0)) for n in names for m, times in metrics]
    made = context(estimates=[row._replace(scenario="io-copy-up") for row in rows], blocks=11)
    scenario = msgspec.structs.replace(made.session.scenarios[-1], name="io-copy-up", metrics=[])
    records = [*made.session.environments, volume]
    for record in records:
        if record.name in dear:
            record.facts["storage"] = "overlay2 on /var/lib/docker"
    return with_session(made, msgspec.structs.replace(made.session, environments=records, scenarios=[scenario]))
