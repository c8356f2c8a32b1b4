"""The runner: one block after the other, one fresh instance after the other, every block saved at once.

`execute` opens the environments, and measures block by block until the plan, the precision asked for, or the time
limit is reached.
"""

from __future__ import annotations

import gc
import shlex
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, Protocol

from isobench.cells import session
from isobench.cells.backoff import Backoff
from isobench.cells.cell import measured
from isobench.cells.gate import marks
from isobench.cells.observer import Observer
from isobench.cells.opening import open_all
from isobench.contracts import sight
from isobench.contracts.capabilities import ExpectsInterference
from isobench.core.errors import NothingMeasured
from isobench.core.model import CONTROL_SUFFIX
from isobench.host import heartbeat, machine
from isobench.host.others import Others
from isobench.planning.plan import applicable, most_blocks, plan
from isobench.results.journal import Sample
from isobench.results.record import BlockRecord, CellRecord, FailureRecord, SkipRecord
from isobench.results.store import RunWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from isobench.cells.cell import Measured
    from isobench.contracts.environment import Sandbox
    from isobench.host.counters import Counter
    from isobench.planning.plan import Cell, Request
    from isobench.results.record import Session
    from isobench.results.store import Series


class Stopper(Protocol):
    """Decides from the values so far whether more blocks are needed (isobench.analysis.stopping)."""

    def imprecise(self, series: Sequence[Series]) -> list[str]:
        """The benchmarks whose interval is still too wide."""
        ...


def execute(request: Request, stopper: Stopper | None = None, observer: Observer | None = None) -> RunWriter:
    """Measure; returns the writer of the finished run.

    An interruption (`KeyboardInterrupt`) loses the block it falls into and passes through after everything is closed.
    Raises `RequiredMissing`, `NothingMeasured`, `StoreError`.
    """
    observer = observer or Observer()
    mechanisms = [mechanism for e in request.environments for mechanism in e.mechanisms]
    machine.begin(cgroup for mechanism in mechanisms for cgroup in mechanism.cgroups)
    others = Others(
        {daemon for mechanism in mechanisms for daemon in mechanism.daemons},
        {program for mechanism in mechanisms for program in mechanism.programs},
    )
    with ExitStack() as ending:
        with ExitStack() as stack:
            opened = open_all(request, stack, observer)
            request = request._replace(scenarios=[s for s in request.scenarios if not sight.lacks(s)])
            units = {(s.name, m.name): m.unit for s in request.scenarios for m in s.metrics}
            writer = RunWriter(request.results, session.begun(request, opened), units, request.before)
            observer.begins(writer)
            ending.callback(writer.finish)  # last, even after an interruption: the environments are closed first
            _Blocks(request, opened.sandboxes, writer, stopper, observer, others).measure()
        if request.sweep is not None:
            writer.amend(left_behind=request.sweep(request.workdir.name))
    if not writer.measured:
        resume = f"isobench run --resume {shlex.quote(str(writer.path))}"
        remedy = resume if writer.session.stopped == "max-time" else ""
        raise NothingMeasured("nothing was measured: " + _why_nothing(writer.session), remedy=remedy)
    return writer


def _why_nothing(session: Session) -> str:
    if session.failures:
        return session.failures[0].reason
    if session.stopped == "max-time":
        return "after the warm-up block, no block fits into --max-time"
    if session.skips:
        return f"{session.skips[0].environment}: {session.skips[0].reason}"
    if session.scenarios and not any(one.metrics for one in session.scenarios):
        return "the chosen scenarios record facts, no figures: add one that measures, as -s surface,startup does"
    return "no scenario applies to the chosen environments"


class _Block(NamedTuple):
    """A measured block."""

    record: BlockRecord
    samples: list[Sample]
    failures: list[FailureRecord]
    short: list[SkipRecord]
    """The cells of which some values are missing."""


class _Blocks:
    """Measures blocks until the requested number is usable. Excluded ones are replaced, up to `most_blocks`; for a
    resumed run that limit applies to the blocks that it still lacks."""

    def __init__(
        self,
        request: Request,
        sandboxes: Mapping[str, Sandbox],
        writer: RunWriter,
        stopper: Stopper | None,
        observer: Observer,
        others: Others,
    ) -> None:
        self._request = request
        self._sandboxes = sandboxes
        self._scenarios = {scenario.name: scenario for scenario in request.scenarios}
        self._cells = applicable([e for e in request.environments if e.name in sandboxes], request.scenarios)
        self._writer = writer
        self._stopper = stopper
        self._observer = observer
        self._others = others
        self._backoff = Backoff()
        earlier = request.before.session.blocks if request.before else []
        self._used = request.before.session.blocks_used if request.before else 0
        self._first = earlier[-1].index + 1 if earlier else 0
        self._last = max(0, self._first - 1) + most_blocks(request.max_blocks - self._used)
        self._began_now = time.monotonic()
        self._began = self._began_now - (earlier[-1].started + earlier[-1].seconds if earlier else 0.0)
        """The start of a resumed run as if it had never been interrupted."""
        self._reading = machine.read()
        """The host's counters after the previous block: the cells' own do not show a CPU that goes offline between two
        cells."""
        self._others.spent()  # what was spent while the environments were opened disturbed no block

    def measure(self) -> None:
        """Measure block 0 (the warm-up) and the others, and record the reason why it stopped."""
        stopped = "interrupted"
        try:
            gc.collect()
            gc.freeze()  # these objects stay: collecting them before every cell would take milliseconds
            with heartbeat.beating():
                stopped = self._one_after_the_other()
        finally:
            imprecise = self._stopper.imprecise(self._writer.clean_series) if self._stopper else []
            finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._writer.amend(finished=finished, stopped=stopped, imprecise=imprecise)

    def _one_after_the_other(self) -> str:
        """Measure them; returns the reason why it stopped."""
        if self._first:
            self._warm_up_again()
        if self._are_enough():
            return "blocks"
        for index in range(self._first, self._last + 1):
            done = time.monotonic() - self._began_now
            per_block = done / (index - self._first) if index > self._first else None
            if per_block is not None and self._exceeds(done + per_block):
                return "max-time"
            wanted = self._wanted(index) + (index == 0)
            self._observer.block_begins(index, index + wanted - 1, None if per_block is None else per_block * wanted)
            active = self._backoff.active(self._cells)
            if not active:
                return "nothing left to measure"
            self._keep(self._block(index, active))
            if self._are_enough():
                return "blocks"
            if index > 0 and self._are_precise():
                return "precise"
        return "disturbed"

    def _warm_up_again(self) -> None:
        """Measure another warm-up block, since caches are cold by now. It is not kept: the record has one already."""
        self._observer.block_begins(0, self._first - 1 + self._wanted(self._first), None)
        self._block(0, self._cells)

    def _wanted(self, index: int) -> int:
        """How many blocks are measured from this one on, if none of them is excluded."""
        return min(self._request.max_blocks - self._used, self._last + 1 - index)

    def _exceeds(self, seconds: float) -> bool:
        return self._request.max_time is not None and seconds > self._request.max_time

    def _are_enough(self) -> bool:
        return self._used >= self._request.max_blocks

    def _are_precise(self) -> bool:
        if self._stopper is None or self._used < self._request.min_blocks:
            return False
        return not self._stopper.imprecise(self._writer.clean_series)

    def _block(self, index: int, active: Sequence[Cell]) -> _Block:
        """Measure one block of these cells. A failing cell is recorded, and the block continues."""
        order = plan(active, self._request.baseline, self._request.seed, index)
        self._observer.planned(order)
        began = time.monotonic()
        done = [(cell, self._measured(cell)) for cell in order]
        seconds = time.monotonic() - began
        records = [
            CellRecord(*cell, one.started - self._began, one.seconds, one.inside, one.interference)
            for cell, one in done
        ]
        whole = machine.delta(self._reading, machine.read())
        found = marks(records, self._expected(), whole, self._others.spent())
        self._reading = machine.read()
        return _Block(
            BlockRecord(index, began - self._began, seconds, records, found),
            [Sample(index, *cell, name, value) for cell, one in done for name, value in one.values.items()],
            [FailureRecord(index, *cell, one.failure, one.console) for cell, one in done if one.failure is not None],
            [SkipRecord(_environment(cell), cell.scenario, one.short) for cell, one in done if one.short],
        )

    def _measured(self, cell: Cell) -> Measured:
        self._observer.cell_begins(cell)
        found = measured(self._scenarios[cell.scenario], self._sandboxes[_environment(cell)])
        self._others.look()
        self._observer.cell_ends(cell, found.values, found.failure or "")
        return found

    def _expected(self) -> dict[str, frozenset[Counter]]:
        """The counters that scenarios drive themselves."""
        every = self._scenarios.items()
        return {name: one.expected_interference for name, one in every if isinstance(one, ExpectsInterference)}

    def _keep(self, block: _Block) -> None:
        """Save a block at once, and report cells that lack values or are paused."""
        _record_short(self._writer, [*block.short, *self._backoff.count(block.record, block.failures)])
        self._writer.add_block(block.record, block.samples, block.failures)
        self._observer.block_ends(block.record, self._writer)
        self._used += block.record.index > 0 and not block.record.marks


def _environment(cell: Cell) -> str:
    """The environment in which a cell is measured; for the control that of the baseline."""
    return cell.environment.removesuffix(CONTROL_SUFFIX)


def _record_short(writer: RunWriter, short: Sequence[SkipRecord]) -> None:
    """Record once for each cell that it stopped short, with the first reason: later ones differ only in a number."""
    known = {(skip.environment, skip.scenario) for skip in writer.session.skips}
    new = {(skip.environment, skip.scenario): skip for skip in reversed(short)}
    added = [skip for key, skip in new.items() if key not in known]
    if added:
        writer.amend(skips=[*writer.session.skips, *added])
