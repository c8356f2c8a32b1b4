"""What a run says while it works and when it is done: to people, on a terminal or in a log."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from bench import terminal
from bench.model import Cell
from bench.runner import Observer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy as np
    import pandas as pd

    from bench.model import Skip
    from bench.record import BlockRecord, Session
    from bench.store import RunWriter, Series

SHOWN = ("startup.ready", "startup.gone", "memory.pss", "syscall.getppid", "syscall.open-close", "io.randread-4k")
"""The metrics in the table at the end of a run; a scenario that has none of these shows its first. The report has all.
"""


_FIRST = 3
"""Measured blocks after which a busy host is told."""


class Progress(Observer):
    """On a terminal one line that changes; elsewhere a line a block. Standard error only."""

    def __init__(self, *, block_seconds: float = 0.0, quiet: bool = False, verbose: bool = False) -> None:
        """`block_seconds` is what a block is expected to take before one has been seen; 0 for not known."""
        self._expected = block_seconds
        self._so_far: dict[Cell, str] = {}
        self._quiet = quiet
        self._verbose = verbose
        self._live = sys.stderr.isatty() and not quiet
        self._head = ""
        self.writer: RunWriter | None = None
        """The run, once there is one."""
        self._warned = False
        self._shown_at = 0

    def begins(self, writer: RunWriter) -> None:
        self.writer = writer

    def opening(self, environment: str) -> None:
        self._line(f"preparing {environment}")

    def skipped(self, skip: Skip) -> None:
        remedy = f" ({skip.remedy})" if skip.remedy else ""
        self._say(f"skipped {skip.environment}: {skip.reason}{remedy}")

    def block_begins(self, index: int, last: int, seconds_left: float | None) -> None:
        name = "warm-up block" if index == 0 else f"block {index} of {last}"
        if seconds_left is None and self._expected:
            seconds_left = self._expected * (last + 1)
        left = "" if seconds_left is None else f", about {_duration(seconds_left)} left"
        self._head = f"{name}{left}"
        if not self._live:
            self._say(self._head)

    def cell_begins(self, cell: Cell) -> None:
        self._line(f"{self._head}: {cell.scenario} in {cell.environment}{self._so_far.get(cell, '')}")

    def cell_ends(self, cell: Cell, values: Mapping[str, float], failure: str) -> None:
        if failure:
            self._say(f"failed {cell.scenario} in {cell.environment}: {failure.splitlines()[0]}")
        elif self._verbose:
            first = next(iter(values.items()), None)
            shown = f": {first[0]} {first[1]:.4g}" if first else ""
            self._say(f"  {cell.scenario} in {cell.environment}{shown}")

    def block_ends(self, block: BlockRecord, writer: RunWriter) -> None:
        if block.marks:
            self._say(f"block {block.index} is left out: {'; '.join(block.marks)}")
        if block.index == 0:
            return
        if not self._warned and block.index >= _FIRST and writer.left_out > block.index / 2:
            self._warned = True
            self._say(f"this host is busy: {writer.left_out} of {block.index} blocks are left out so far. Stop what "
                      "else runs here, or nothing can be concluded")  # fmt: skip
        if self._live and block.index >= 1.05 * self._shown_at:  # all values are gone through: not after each of 5,000
            self._shown_at = block.index
            self._so_far = intervals_so_far(writer.clean_series, writer.session)

    def close(self) -> None:
        self._clear()

    def _line(self, text: str) -> None:
        if self._live:
            terminal.live(text)

    def _clear(self) -> None:
        if self._live:
            terminal.clear_line()

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._clear()
            print(text, file=sys.stderr, flush=True)


def intervals_so_far(series: Sequence[Series], session: Session) -> dict[Cell, str]:
    """For each cell the ratio of its first metric to the baseline's with its 95 % interval.

    `series` without the marked blocks (`RunWriter.clean_series`).
    """
    from bench.analysis.verdicts import ratio_interval
    from bench.report import format

    leading = {(scenario, metrics[0]) for scenario, metrics in _shown_metrics(session).items()}
    clean = {
        Cell(one.environment, one.scenario): dict(zip(one.blocks, one.values, strict=True))
        for one in series
        if (one.scenario, one.metric) in leading
    }
    found = {}
    for cell, values in clean.items():
        base = clean.get(Cell(session.baseline, cell.scenario), {})
        if cell.environment != session.baseline and values and base:
            ratio = ratio_interval(*_arrays(values), _arrays(base))
            if ratio.n:
                low, centre, high = (math.exp(x) for x in (ratio.low, ratio.centre, ratio.high))
                found[cell] = f", so far {format.ratio_interval(centre, low, high)}"
    return found


def _shown_metrics(session: Session) -> dict[str, list[str]]:
    """What is shown of each scenario while it runs and at its end."""
    names = {s.name: [m.name for m in s.metrics] for s in session.scenarios if s.metrics}
    return {s: [m for m in metrics if f"{s}.{m}" in SHOWN] or metrics[:1] for s, metrics in names.items()}


def _arrays(values: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    return np.array(list(values)), np.array(list(values.values()))


def print_verdicts(summary: pd.DataFrame, session: Session) -> None:
    """The table at the end of a run, on standard output: the main metrics, absolute and against the baseline."""
    from rich.table import Table

    from bench.report import format

    measured = [block for block in session.blocks if block.index > 0]
    if measured and all(block.marks for block in measured):
        print(f"no verdict: each of the {len(measured)} blocks was disturbed and is left out; measure on a quiet host")
        return
    names = summary["scenario"].astype(str) + "." + summary["metric"].astype(str)
    used = sum(not block.marks for block in measured)
    left_out = f" of {len(measured)}" if used < len(measured) else ""
    title = terminal.cell(f"against {session.baseline}, {used}{left_out} blocks")
    table = Table(title=title, title_justify="left")
    for head, justify in (("metric", "left"), ("environment", "left"), ("median", "right"), ("ratio", "right")):
        table.add_column(head, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("verdict", overflow="fold")
    order = {e.name: index for index, e in enumerate(session.environments)}
    shown = [f"{scenario}.{metric}" for scenario, metrics in _shown_metrics(session).items() for metric in metrics]
    for wanted in sorted(shown, key=lambda name: SHOWN.index(name) if name in SHOWN else len(SHOWN)):
        rows = summary[(names == wanted) & (~summary["control"].astype(bool))]
        records: list[dict[str, Any]] = rows.to_dict(orient="records")  # type: ignore[assignment]
        for row in sorted(records, key=lambda r: order.get(str(r["environment"]), 99)):
            ratio = format.ratio_interval(row["ratio"], row["ratio_low"], row["ratio_high"])
            verdict = (
                "baseline"
                if row["environment"] == session.baseline
                else format.verdict(str(row["verdict"]), str(row["unit"]))
            )
            words = (wanted, row["environment"], format.quantity(row["median"], str(row["unit"])), ratio, verdict)
            table.add_row(*map(terminal.cell, words))
        if len(rows):
            table.add_section()
    terminal.console().print(table)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
