"""The accounts of one more instance: what explains the fall of MemAvailable, and the rest that nothing does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from isobench.layout.blocks import Block, Paragraph, Table, plain
from isobench.report.build import make_context
from isobench.report.sections import memory
from isobench.results.journal import Sample
from isobench.results.record import BlockRecord, EnvironmentRecord, MetricRecord, ScenarioRecord
from isobench.results.store import RunWriter
from isobench.scenarios.density import Density
from tests.unit.analysis.made import session

MIB = 2.0**20
SLOPES = {"available": 10.0, "pss": 6.0, "kernel": 2.0, "harness": 0.5, "cgroup": 3.0}


COUNTS = (1, 2, 4, 8)


def _built(folder: Path, blocks: Sequence[Mapping[str, float]], *, before: bool = False) -> list[Block]:
    """The section of a run whose blocks hold these values; or of a run of `before` the store held what is not positive,
    without that."""
    metrics = [MetricRecord(*m[:3]) if before else MetricRecord(*m[:4]) for m in Density.metrics]
    record = msgspec.structs.replace(
        session(),
        scenarios=[ScenarioRecord("density", Density.title, metrics)],
        environments=[EnvironmentRecord("process", "raw process", "process", "", None, False)],
    )
    writer = RunWriter(folder, record, {("density", m.name): m.unit for m in Density.metrics})
    for index, values in enumerate(blocks):
        samples = [Sample(index, "process", "density", name, value) for name, value in values.items()]
        samples = [sample for sample in samples if sample.value > 0 or not before]
        writer.add_block(BlockRecord(index, float(index), 1.0, []), samples, [])
    return memory.build(make_context(writer.path))


def _accounts(blocks: Sequence[Block]) -> tuple[str, list[str]]:
    (found,) = (b for b in blocks if isinstance(b, Table) and b.columns[-1].title == "not explained")
    (row,) = found.rows
    return found.caption, [plain(cell.text) for cell in row]


def test_the_rest_is_shown(tmp_path: Path) -> None:
    """Ten MiB fall, eight and a half are explained: 1.5 MiB, 15 %, stay; the cgroup's count explains nothing twice."""
    caption, words = _accounts(_built(tmp_path, [{name: value * MIB for name, value in SLOPES.items()}] * 8))
    assert words[1].startswith("+10.0 [")
    assert words[2:6] == ["6.00 MiB", "2.00 MiB", "–", "512 KiB"]
    assert words[6].startswith("+1.50 [") and words[6].endswith("15 %")
    assert "too high" not in caption


def test_fewer_than_six_blocks_have_no_interval(tmp_path: Path) -> None:
    """Five of them, all between 9 and 11 MiB: that is no interval at 95 %."""
    blocks = [{**SLOPES, "available": value} for value in (10.0, 9.0, 9.5, 10.5, 11.0, 10.0)]
    _, words = _accounts(_built(tmp_path, [{name: value * MIB for name, value in block.items()} for block in blocks]))
    assert words[1] == "+10.0 MiB [no interval]" and "[no interval]" in words[6]


def test_slopes_have_their_sign(tmp_path: Path) -> None:
    """Growth of the daemons and falls of available memory of either sign count in every block; nothing is left out."""
    values = [{**SLOPES, "available": 10.0 + index, "daemons": -1.0} for index in (0, -60, 60, -20, 20, -4, 4, 0, 0)]
    built = _built(tmp_path, [{name: value * MIB for name, value in block.items()} for block in values])
    _, words = _accounts(built)
    assert words[1].startswith("+10.0 [−") and words[4] == "−1.00 MiB"
    assert not any(isinstance(b, Paragraph) for b in built)


def test_a_run_of_before_has_slopes_out_of_its_counts(tmp_path: Path) -> None:
    """The daemons' growth is centred at -1 MiB and positive in two blocks of eight: all eight are in the account.

    One block has no `kernel-1`, which was not positive: then 1 counts in no block, and the slope stays what it is.
    """
    blocks = []
    for index in range(9):  # the first is warm-up
        grows = (-1.0 + (index - 4.5) / 2) * MIB
        values = {"available": 10 * MIB, "pss": 6 * MIB, "kernel": 2 * MIB, "daemons": grows}
        for count in COUNTS:
            values |= {f"available-{count}": 50 * MIB + 10 * MIB * count, f"pss-{count}": 6 * MIB * count}
            values |= {f"kernel-{count}": 2 * MIB * count, f"daemons-{count}": 90 * MIB + grows * count}
        blocks.append(values | ({"kernel-1": -1.0, "kernel": -1.0} if index == 3 else {}))
    built = _built(tmp_path, blocks, before=True)
    caption, words = _accounts(built)
    assert words[1].startswith("+10.0 [") and words[2:4] == ["6.00 MiB", "2.00 MiB"]
    assert words[4] == "−1.00 MiB" and words[6].startswith("+3.00 [")
    assert "too high" not in caption
    (said,) = (plain(b.text) for b in built if isinstance(b, Paragraph))
    assert "process: kernel in 1 of 8." in said and "cgroup" not in said and "pss" not in said


def test_it_says_where_only_positive_slopes_are_left(tmp_path: Path) -> None:
    """Without counts to take them from, blocks with a positive slope are what there is, and the table says so."""
    falls = {f"available-{count}": 10 * MIB * count for count in COUNTS}
    steady = {f"pss-{count}": 6 * MIB * count for count in COUNTS}
    blocks = [{"pss": 6 * MIB, **steady, **({"available": 10 * MIB, **falls} if n % 2 else {})} for n in range(9)]
    caption, words = _accounts(_built(tmp_path, blocks, before=True))
    assert words[1] == "+10.0 MiB [no interval]", "four of eight blocks"
    assert "process (available: 4 of 8 blocks, kernel: 0 of 8 blocks)" in caption
