"""The accounts of one more instance: what explains the fall of MemAvailable, and the rest that nothing does."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.model import Sample
from bench.record import BlockRecord, EnvironmentRecord, MetricRecord, ScenarioRecord
from bench.report.blocks import Table, plain
from bench.report.build import make_context
from bench.report.sections import memory
from bench.store import RunWriter
from scenarios.density import Density
from tests.unit.analysis.made import session

MIB = 2.0**20
SLOPES = {"available": 10.0, "pss": 6.0, "kernel": 2.0, "harness": 0.5, "cgroup": 3.0}


def test_the_rest_is_shown(tmp_path: Path) -> None:
    """Ten MiB fall, eight and a half are explained: 1.5 MiB, 15 %, stay; the cgroup's count explains nothing twice."""
    record = msgspec.structs.replace(
        session(),
        scenarios=[ScenarioRecord("density", Density.title, [MetricRecord(*m) for m in Density.metrics])],
        environments=[EnvironmentRecord("process", "raw process", "process", "", None, False)],
    )
    units = {("density", m.name): m.unit for m in Density.metrics}
    writer = RunWriter(tmp_path, record, dict(units))
    for index in range(8):
        samples = [Sample(index, "process", "density", name, value * MIB) for name, value in SLOPES.items()]
        writer.add_block(BlockRecord(index, float(index), 1.0, []), samples, [])
    tables = [block for block in memory.build(make_context(writer.path)) if isinstance(block, Table)]
    accounts = next(t for t in tables if t.columns[-1].title == "not explained")
    (row,) = accounts.rows
    words = [plain(cell.text) for cell in row]
    assert words[1].startswith("+10.0 [")
    assert words[2:6] == ["6.00 MiB", "2.00 MiB", "–", "512 KiB"]
    assert words[6].startswith("+1.50 [") and words[6].endswith("15 %")
