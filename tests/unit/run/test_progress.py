"""What a run says while it measures, to a log and to a terminal."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from isobench.analysis.results import load
from isobench.cells.runner import execute
from isobench.core.errors import Unavailable
from isobench.planning.plan import Cell
from isobench.results.record import BlockRecord, SkipRecord
from isobench.run import progress as progress_of
from isobench.run.progress import Progress, intervals_so_far
from tests.fake import FakeEnvironment, FakeSandbox, FakeScenario
from tests.unit.analysis.made import write_run
from tests.unit.cells.made import request


def test_a_log_has_a_line_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal nothing is overwritten: the block, the time left, what was skipped and why, what failed."""
    progress = Progress(block_seconds=10)
    progress.skipped(SkipRecord("kvm", "", "there is no /dev/kvm", "modprobe kvm"))
    progress.skipped(SkipRecord("docker", "", "no engine"))
    progress.skipped(SkipRecord("kvm-tap", "", "there is no /dev/kvm", "modprobe kvm"))
    progress.skipped(SkipRecord("process", "image-scratch", "isobench pulls no images there"))
    progress.skipped(SkipRecord("process", "image-busybox", "isobench pulls no images there"))
    progress.begins(None)  # type: ignore[arg-type]
    progress.block_begins(0, 5, None)
    progress.cell_begins(Cell("process", "startup"))
    progress.cell_ends(Cell("process", "startup"), {}, "it ended\nmore")
    progress.block_begins(1, 5, 90.0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "skipped kvm, kvm-tap: there is no /dev/kvm (modprobe kvm)",
        "skipped docker: no engine",
        "skipped process: isobench pulls no images there",
        "warm-up block, about 1 min 00 s left",
        "failed startup in process: it ended",
        "block 1 of 5, about 1 min 30 s left",
    ]


class _Terminal(io.StringIO):
    """Standard error of a terminal; how many characters came while a cell was measured."""

    inside = False
    disturbed = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.disturbed += len(text) if self.inside else 0
        return super().write(text)


class _Measuring(FakeScenario):
    """Notes on the terminal when a cell is measured, and which threads there are."""

    def __init__(self, screen: _Terminal) -> None:
        super().__init__("startup")
        self.screen = screen
        self.threads = set[str]()

    def measure(self, sandbox: FakeSandbox) -> Mapping[str, float]:
        self.screen.inside = True
        self.threads |= {thread.name for thread in threading.enumerate()}
        try:
            return super().measure(sandbox)
        finally:
            self.screen.inside = False


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_a_terminal_has_a_bar_that_is_drawn_between_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Cell, elapsed time and expected end are on it within its width, causes stay above it, and while a cell is
    measured nothing is written and no thread of it exists."""
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("isobench.run.progress._PAUSE", 0.0)
    scenario = _Measuring(screen)
    others = {thread.name for thread in threading.enumerate()}  # a test before this one may have left some
    progress = Progress(cell_seconds={Cell("process", "startup"): 0.01})
    environments = [FakeEnvironment("process"), FakeEnvironment("kvm", unavailable=Unavailable("there is no /dev/kvm"))]
    asked = request(tmp_path, environments, scenarios=[scenario], min_blocks=2, max_blocks=2)
    try:
        execute(asked, None, progress)
    finally:
        progress.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "skipped kvm: there is no /dev/kvm" in text
    assert re.search(r"\d:\d\d elapsed, ends about \d\d:\d\d", text)
    assert "warm-up block, cell 1 of 6: " in text and "block 2 of 2, cell 6 of 6: " in text
    assert max(len(line) for line in re.split(r"[\r\n]+", text) if "skipped" not in line) <= columns - len("^C")
    assert screen.disturbed == 0
    assert scenario.threads - others <= {"heartbeat"}


def test_a_dumb_terminal_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot move its cursor has a line a block."""
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "dumb")
    Progress().block_begins(1, 5, 90.0)
    assert screen.getvalue() == "block 1 of 5, about 1 min 30 s left\n"


@pytest.mark.parametrize(("index", "said"), [(0, "this host is busy: load. "), (1, "block 1 is excluded: load")])
def test_a_busy_host_is_told_in_the_first_block(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, index: int, said: str
) -> None:
    """The warm-up block counts nowhere, but is the first that can tell."""
    progress = Progress()
    writer = execute(request(tmp_path, [FakeEnvironment("process")]))
    progress.block_ends(BlockRecord(index, 0.0, 1.0, [], ["load"]), writer)
    assert capsys.readouterr().err.startswith(said)


def test_the_time_left_follows_what_cells_take() -> None:
    """Each cell as long as it took last, else as it is expected to; further blocks are as long as this one."""
    bar = progress_of._Bar({Cell("a", "s"): 10.0, Cell("b", "s"): 20.0})
    bar.block_begins("block 1 of 3", 2)
    bar.planned([Cell("a", "s"), Cell("b", "s"), Cell("a@control", "s")])
    assert bar.seconds_left() == 40 + 2 * 40
    bar.cell_ends(Cell("a", "s"))
    assert 20 + 2 * 20 < bar.seconds_left() < 20 + 2 * 20 + 1  # a and its second copy took next to nothing


@pytest.mark.parametrize(("seconds", "form"), [(60.0, r"about \d\d:\d\d"), (86_400.0, r"about \w+ \d\d:\d\d")])
def test_the_end_is_a_time_of_day(seconds: float, form: str) -> None:
    """It stays right while a long cell keeps the picture as it is; tomorrow's has its day."""
    assert re.fullmatch(form, progress_of._ending(seconds))


def test_a_long_cell_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where it is known, and long."""
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    bar = progress_of._Bar({Cell("kvm", "s"): 40.0, Cell("process", "s"): 1.0})
    bar.planned([Cell("kvm", "s"), Cell("process", "s")])
    for cell in (Cell("kvm", "s"), Cell("process", "s")):
        bar.cell_begins(cell, "")
    bar.close()
    assert "s in kvm, about 40 s" in screen.getvalue() and "s in process, about" not in screen.getvalue()


def test_a_value_of_each_cell_has_its_unit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With --verbose: the metric that the table at the end shows."""
    progress = Progress(verbose=True)
    execute(request(tmp_path, [FakeEnvironment("process", 0.25)], min_blocks=1, max_blocks=1), None, progress)
    assert re.search(r"^  fake in process: ready 250 ms$", capsys.readouterr().err, re.MULTILINE)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on either stream."""
    progress = Progress(quiet=True)
    progress.block_begins(1, 5, 90.0)
    progress.cell_ends(Cell("process", "startup"), {}, "it ended")
    assert capsys.readouterr() == ("", "")


def test_the_interval_so_far_is_the_analysis(tmp_path: Path) -> None:
    """Shown while it runs: the same ratio and interval that the table at the end will have."""
    results = load(write_run(tmp_path))
    run = results.run
    (row,) = (row for row in results.estimates if (row.environment, row.metric) == ("docker", "ready"))
    shown = intervals_so_far(run.series, run.session)
    assert set(shown) == {Cell(n, "startup") for n in ("process@control", "chroot", "docker")}
    assert f"{row.ratio:.0f}×" in shown[Cell("docker", "startup")]
    assert intervals_so_far([one._replace(blocks=[], values=[]) for one in run.series], run.session) == {}
