"""What is said of a run at its end."""

from __future__ import annotations

from pathlib import Path

import msgspec

from isobench.core.errors import NothingMeasured
from isobench.results import store
from isobench.results.record import FailureRecord
from isobench.run.outcome import concluded
from tests.unit.analysis.made import write_run


def _ended(tmp_path: Path, stopped: str, blocks: int, marked: int = 0) -> Path:
    """A run of so many blocks that ended for this reason, the last ones marked."""
    run = store.load(write_run(tmp_path, blocks=blocks))
    marks = [
        ["the CPU was throttled (12 % of the block)"] if block.index > blocks - marked else []
        for block in run.session.blocks
    ]
    replaced = [msgspec.structs.replace(b, marks=m) for b, m in zip(run.session.blocks, marks, strict=True)]
    store.save(run._replace(session=msgspec.structs.replace(run.session, stopped=stopped, blocks=replaced)))
    return run.path


def test_a_complete_run_has_nothing_to_explain(tmp_path: Path) -> None:
    """And a report, if one is wanted."""
    found = concluded(_ended(tmp_path, "blocks", 7), 7, tmp_path / "reports")
    assert (found.nothing, found.unfinished, found.failed, found.exit_code) == ("", "", [], 0)
    assert all(file.exists() for file in found.report.values()) and {"html", "md"} == found.report.keys()


def test_a_run_that_ended_early_says_why_and_how_it_goes_on(tmp_path: Path) -> None:
    found = concluded(_ended(tmp_path, "max-time", 7), 20, None)
    assert found.unfinished.startswith("ended after 7 of 20 blocks, because another block would have exceeded --max-t")
    assert found.unfinished.endswith(f"continue: isobench run --resume {found.path}")
    assert (found.nothing, found.report, found.exit_code) == ("", {}, 0)


def test_too_few_blocks_conclude_nothing(tmp_path: Path) -> None:
    """The reason is the one that disturbed most of them, without its figure."""
    found = concluded(_ended(tmp_path, "disturbed", 9, marked=5), 6, None)
    assert found.nothing == (
        "nothing can be concluded from 4 of 6 blocks: the others were disturbed, because the CPU was throttled"
    )
    assert (found.unfinished, found.exit_code) == ("", NothingMeasured.exit_code)


def test_a_cell_that_failed_in_a_measured_block_is_a_failure(tmp_path: Path) -> None:
    """In the warm-up block it is none."""
    run = store.load(write_run(tmp_path, blocks=7))
    for block, code in ((0, 0), (3, 1)):
        failures = [FailureRecord(block, "docker", "startup", "it broke")]
        store.save(run._replace(session=msgspec.structs.replace(run.session, failures=failures)))
        assert concluded(run.path, 7, None).exit_code == code
