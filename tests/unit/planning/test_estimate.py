"""How long a run will take: from what is known of the host, else from typical figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from isobench.planning.estimate import block_seconds
from isobench.planning.plan import Cell
from isobench.results import store
from isobench.results.record import BlockRecord, CellRecord
from tests.fake import FakeEnvironment
from tests.unit.analysis.made import write_run

CELLS = [Cell("process", "startup"), Cell("docker", "startup")]
ENVIRONMENTS = [FakeEnvironment("process"), FakeEnvironment("docker")]


def test_without_runs_it_is_a_small_machine(tmp_path: Path) -> None:
    """Two cells and the baseline's second copy, each as its layer's launch; a scenario with work takes longer."""
    found = block_seconds(CELLS, ENVIRONMENTS, "process", tmp_path / "results", "host")
    assert found.seconds == pytest.approx(3 * 0.01) and "small machine" in found.origin
    longer = block_seconds([Cell("process", "io")], ENVIRONMENTS, "process", tmp_path, "host")
    assert longer.seconds > found.seconds


def test_with_runs_it_is_this_host(tmp_path: Path) -> None:
    """The cells of an earlier run count with what they took; another host's run says nothing; a damaged one neither."""
    path = write_run(tmp_path)
    session = store.load_session(path)
    cells = [
        CellRecord(c.environment, c.scenario, 0.0, seconds, 0.0) for c, seconds in zip(CELLS, (0.5, 2.0), strict=True)
    ]
    block = BlockRecord(1, 0.0, 2.5, cells)
    (path / store.SESSION).write_bytes(msgspec.json.encode(msgspec.structs.replace(session, blocks=[block])))
    damaged = path.parent / "20990101T000000Z"
    damaged.mkdir()
    (damaged / store.SESSION).write_text("{")
    found = block_seconds(CELLS, ENVIRONMENTS, "process", tmp_path, session.host_id)
    assert found.seconds == pytest.approx(0.5 * 2 + 2.0) and "2 of 2 cells" in found.origin
    assert "small machine" in block_seconds(CELLS, ENVIRONMENTS, "process", tmp_path, "another").origin
