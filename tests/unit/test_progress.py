"""What a run says: to a log, to a terminal, and at its end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench import store
from bench.analysis import frames, verdicts
from bench.model import Cell, Skip
from bench.progress import Progress, intervals_so_far, print_verdicts
from tests.unit.analysis.made import write_run


def test_a_log_has_a_line_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal nothing is overwritten: the block, the time left, what was skipped and why, what failed."""
    progress = Progress(block_seconds=10)
    progress.skipped(Skip("kvm", "", "there is no /dev/kvm", "modprobe kvm"))
    progress.block_begins(0, 5, None)
    progress.cell_begins(Cell("process", "startup"))
    progress.cell_ends(Cell("process", "startup"), {}, "it ended\nmore")
    progress.block_begins(1, 5, 90.0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "skipped kvm: there is no /dev/kvm (modprobe kvm)",
        "warm-up block, about 1 min 00 s left",
        "failed startup in process: it ended",
        "block 1 of 5, about 1 min 30 s left",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on either stream."""
    progress = Progress(quiet=True)
    progress.block_begins(1, 5, 90.0)
    progress.cell_ends(Cell("process", "startup"), {}, "it ended")
    assert capsys.readouterr() == ("", "")


def test_the_interval_so_far_is_the_analysis(tmp_path: Path) -> None:
    """Shown while it runs: the same ratio and interval that the table at the end will have."""
    run = store.load(write_run(tmp_path))
    row = verdicts.summary(frames.samples(run), "process").set_index("environment").loc["docker"]
    shown = intervals_so_far(run.series, run.session)
    assert set(shown) == {Cell(n, "startup") for n in ("process@control", "chroot", "docker")}
    assert f"{row['ratio']:.0f}×" in shown[Cell("docker", "startup")]
    assert intervals_so_far([one._replace(blocks=[], values=[]) for one in run.series], run.session) == {}


def test_a_scenario_without_a_main_metric_shows_its_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was asked for has a line in the table at the end."""
    run = store.load(write_run(tmp_path))
    (scenario,) = run.session.scenarios
    first = msgspec.structs.replace(scenario.metrics[0], name="odd")
    session = msgspec.structs.replace(run.session, scenarios=[msgspec.structs.replace(scenario, metrics=[first])])
    summary = verdicts.summary(frames.samples(run), "process")
    summary["metric"] = "odd"
    print_verdicts(summary, session)
    assert "startup.odd" in capsys.readouterr().out


def test_no_verdict_where_every_block_was_disturbed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table would say nothing: the reason is said instead."""
    run = store.load(write_run(tmp_path, blocks=6))
    blocks = [msgspec.structs.replace(block, marks=["load"]) for block in run.session.blocks]
    run = run._replace(session=msgspec.structs.replace(run.session, blocks=blocks))
    print_verdicts(verdicts.summary(frames.samples(run), "process"), run.session)
    assert capsys.readouterr().out.startswith("no verdict: each of the 6 blocks was disturbed")
