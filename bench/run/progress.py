"""What a run prints while it measures, on a terminal or in a log."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from rich.progress_bar import ProgressBar
from rich.table import Table

from isobench.cells.observer import Observer
from isobench.core import display, terminal
from isobench.core.model import CONTROL_SUFFIX
from isobench.layout import format
from isobench.planning.plan import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from isobench.results.record import BlockRecord, Session, SkipRecord
    from isobench.results.store import RunWriter, Series

SHOWN = ("startup.ready", "startup.gone", "memory.pss", "syscall.getppid", "syscall.open-close", "io.randread-4k")
"""The metrics in the table at the end of a run; a scenario that has none of these shows its first. The report has all.
"""


_FEWEST = 3
"""Measured blocks before a warning that too many are excluded."""
_PAUSE = 0.1
"""Minimum seconds between two redraws."""
_LONG = 0.5
"""Cells that are expected to take this many seconds are always drawn, since the picture stays until they end."""
_TIMED = 5.0
"""Cells that are expected to take this many seconds are drawn with their expected duration."""


class Progress(Observer):
    """On a terminal, a bar that is redrawn between two cells and never during one; elsewhere, one line per block.

    It writes to standard error only.
    """

    def __init__(
        self,
        *,
        block_seconds: float = 0.0,
        cell_seconds: Mapping[Cell, float] | None = None,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        """`block_seconds` and `cell_seconds` are the expected durations of a block and of its cells, until they have
        been measured; 0 if unknown."""
        self._expected = block_seconds
        self._so_far: dict[Cell, str] = {}
        self._quiet = quiet
        self._verbose = verbose
        self._bar = _Bar(dict(cell_seconds or {})) if terminal.is_live(sys.stderr) and not quiet else None
        self._head = ""
        self._skips: dict[tuple[str, str], list[str]] = {}
        self.writer: RunWriter | None = None
        """The run, once it has begun."""
        self._warned = False
        self._shown_at = 0

    def begins(self, writer: RunWriter) -> None:
        self.writer = writer
        self._tell_skips()

    def opening(self, environment: str) -> None:
        if self._bar:
            self._bar.preparing(environment)

    def skipped(self, skip: SkipRecord) -> None:
        self._skips.setdefault((skip.reason, skip.remedy), []).append(skip.environment)

    def block_begins(self, index: int, last: int, seconds_left: float | None) -> None:
        name = "warm-up block" if index == 0 else f"block {index} of {last}"
        done = self.writer.blocks if self.writer and index == 0 else index  # a resumed run is warmed up again
        further = last - done + (done > index)
        if seconds_left is None and self._expected:
            seconds_left = self._expected * (further + 1)
        left = "" if seconds_left is None else f", about {_duration(seconds_left)} left"
        if self._bar:
            self._bar.block_begins(name, further)
        else:
            self._say(f"{name}{left}")

    def planned(self, order: Sequence[Cell]) -> None:
        if self._bar:
            self._bar.planned(order)

    def cell_begins(self, cell: Cell) -> None:
        if self._bar:
            self._bar.cell_begins(cell, self._so_far.get(cell, ""))

    def cell_ends(self, cell: Cell, values: Mapping[str, float], failure: str) -> None:
        if self._bar:
            self._bar.cell_ends(cell)
        if failure:
            self._say(f"failed {cell.scenario} in {cell.environment}: {failure.splitlines()[0]}")
        elif self._verbose:
            self._say(f"  {cell.scenario} in {cell.environment}{self._main_value(cell, values)}")

    def _main_value(self, cell: Cell, values: Mapping[str, float]) -> str:
        """The cell's value of the first shown metric that it has, with its unit."""
        if self.writer is None:
            return ""
        session = self.writer.session
        units = {m.name: m.unit for s in session.scenarios if s.name == cell.scenario for m in s.metrics}
        names = [name for name in (*shown_metrics(session).get(cell.scenario, ()), *values) if name in values]
        return f": {names[0]} {format.quantity(values[names[0]], units[names[0]])}" if names else ""

    def block_ends(self, block: BlockRecord, writer: RunWriter) -> None:
        if block.marks:
            self._tell_marks(block)
        if block.index == 0:
            return
        if not self._warned and block.index >= _FEWEST and writer.left_out > block.index / 2:
            self._warned = True
            self._say(f"this host is busy: {writer.left_out} of {block.index} blocks are excluded so far. Stop what "
                      "else runs here, or nothing can be concluded")  # fmt: skip
        if self._bar and block.index >= 1.05 * self._shown_at:  # it reads all values, so not after each of 5,000 blocks
            self._shown_at = block.index
            self._so_far = intervals_so_far(writer.clean_series, writer.session)

    def close(self) -> None:
        self._tell_skips()
        if self._bar:
            self._bar.close()

    def _tell_skips(self) -> None:
        """Report skipped environments, grouped by cause."""
        for (reason, remedy), names in self._skips.items():
            self._say(f"skipped {', '.join(dict.fromkeys(names))}: {reason}{f' ({remedy})' if remedy else ''}")
        self._skips.clear()

    def _tell_marks(self, block: BlockRecord) -> None:
        """The warm-up block is not analysed, but it is the first that can show that a host is busy."""
        marks = "; ".join(block.marks)
        if block.index == 0:
            self._say(f"this host is busy: {marks}. Blocks like this one will be excluded; stop other programs here")
        else:
            self._say(f"block {block.index} is excluded: {marks}")

    def _say(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar:
            self._bar.say(text)
        else:
            print(text, file=sys.stderr, flush=True)


class _Bar:
    """Two lines at the bottom of a terminal: the progress of the run with its expected end, and the current cell.

    The caller draws them between cells, without a thread, so that nothing runs beside a cell. Therefore the elapsed
    time does not tick, and the end is a time of day, which stays right during a long cell.
    """

    def __init__(self, seconds: dict[Cell, float]) -> None:
        self._seconds = seconds
        """The duration of each cell: from earlier runs, then from its last measurement."""
        self._bar = ProgressBar()
        self._foot = display.Foot()
        self._began = self._cell_began = time.monotonic()
        self._drawn = 0.0
        self._name, self._order, self._further = "", list[Cell](), 0
        self._done = self._done_here = 0

    def preparing(self, environment: str) -> None:
        self._foot.draw(display.cell(f"preparing {environment}"))

    def block_begins(self, name: str, further: int) -> None:
        """`further` is how many blocks will follow this one."""
        self._name, self._further, self._done_here = name, further, 0

    def planned(self, order: Sequence[Cell]) -> None:
        self._order = list(order)

    def cell_begins(self, cell: Cell, so_far: str) -> None:
        now = time.monotonic()
        if now - self._drawn < _PAUSE and self._expected(cell) < _LONG:
            self._cell_began = now
            return
        total = self._done - self._done_here + len(self._order) * (1 + self._further)
        here = self._done + 1
        self._bar.update(self._done, total)
        times = display.cell(f"{_clock(now - self._began)} elapsed, ends {_ending(self.seconds_left())}")
        seconds = self._expected(cell)
        takes = f", about {_duration(seconds)}" if seconds >= _TIMED else ""
        what = f"{cell.scenario} in {cell.environment}{takes}{so_far}"
        self._foot.draw(self._first_line(times), display.cell(f"{self._name}, cell {here} of {total}: {what}"))
        self._drawn = self._cell_began = time.monotonic()

    def cell_ends(self, cell: Cell) -> None:
        self._seconds[cell] = time.monotonic() - self._cell_began
        self._done += 1
        self._done_here += 1

    def seconds_left(self) -> float:
        """The remaining cells of this block, and the further blocks; each cell takes as long as it last took."""
        cells = [self._expected(cell) for cell in self._order]
        return sum(cells[self._done_here :]) + self._further * sum(cells)

    def say(self, text: str) -> None:
        self._foot.say(text)

    def close(self) -> None:
        self._foot.close()

    def _expected(self, cell: Cell) -> float:
        known = self._seconds
        alone = Cell(cell.environment.removesuffix(CONTROL_SUFFIX), cell.scenario)
        return known.get(cell, known.get(alone, 0.0))

    def _first_line(self, times: Text) -> RenderableType:
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_row(self._bar, times)
        return line


def intervals_so_far(series: Sequence[Series], session: Session) -> dict[Cell, str]:
    """For each cell the ratio of its first metric to the baseline's with its 95 % interval.

    `series` without the marked blocks (`RunWriter.clean_series`).
    """
    from isobench.analysis.verdicts import ratio_interval  # numpy: only on a terminal, and between two cells

    leading = {(scenario, metrics[0]) for scenario, metrics in shown_metrics(session).items()}
    clean = {
        Cell(one.environment, one.scenario): dict(zip(one.blocks, one.values, strict=True))
        for one in series
        if (one.scenario, one.metric) in leading
    }
    found = {}
    for cell, values in clean.items():
        base = clean.get(Cell(session.baseline, cell.scenario), {})
        if cell.environment != session.baseline and values and base:
            ratio = ratio_interval(values, base)
            if ratio.n:
                low, centre, high = (math.exp(x) for x in (ratio.low, ratio.centre, ratio.high))
                found[cell] = f", so far {format.ratio_interval(centre, low, high)}"
    return found


def shown_metrics(session: Session) -> dict[str, list[str]]:
    """The metrics of each scenario that are shown during a run and at its end."""
    names = {s.name: [m.name for m in s.metrics] for s in session.scenarios if s.metrics}
    return {s: [m for m in metrics if f"{s}.{m}" in SHOWN] or metrics[:1] for s, metrics in names.items()}


def _clock(seconds: float) -> str:
    """2:31, or 1:02:31."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _ending(seconds_left: float) -> str:
    """The local time in so many seconds, with the day if that is more than half a day away."""
    form = "%H:%M" if seconds_left < 12 * 3600 else "%a %H:%M"
    return f"about {time.strftime(form, time.localtime(time.time() + seconds_left))}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
