"""The block runner: cells in a random order, one fresh instance after the other, every block saved at once.

`plan` is pure. `execute` opens the environments, smoke-tests each by launching it, and measures block by block until
the plan, the precision asked for, or the time limit is reached.
"""

from __future__ import annotations

import gc
import random
import shlex
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

import isobench
from isobench.analysis.gate import marks
from isobench.contracts import sight
from isobench.contracts.capabilities import OF_SANDBOXES, Capability, ExpectsInterference, TellsFacts
from isobench.contracts.launch import idle
from isobench.core import deadlines
from isobench.core.errors import (
    MeasurementError,
    NothingMeasured,
    RequiredMissing,
    StoppedShort,
    Unavailable,
    UsageError,
)
from isobench.core.model import CONTROL_SUFFIX, Cell, Sample
from isobench.host import heartbeat, machine
from isobench.host.reasons import as_text, reason_and_remedy, reason_of
from isobench.images.rootfs import fio_fact
from isobench.probe.build import probe_fact
from isobench.results.record import (
    SCHEMA,
    BlockRecord,
    CellRecord,
    EnvironmentRecord,
    FailureRecord,
    MetricRecord,
    PurposeRecord,
    Resumption,
    ScenarioRecord,
    Session,
    SkipRecord,
)
from isobench.results.store import RunWriter
from isobench.run.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from isobench.contracts.environment import Environment, Instance, Sandbox
    from isobench.contracts.launch import Launch
    from isobench.contracts.scenario import Scenario
    from isobench.core.model import Metric
    from isobench.results.store import Run, Series

_CAN_BE = {"positive": "it must be positive", "zero": "it must not be negative", "any": "it must be finite"}


def most_blocks(wanted: int) -> int:
    """The most blocks that are measured to get this many usable ones: half as many again."""
    return wanted + max(1, wanted // 2)


class Request(NamedTuple):
    """What to run. `seed` decides the order of everything."""

    run_id: str
    environments: Sequence[Environment]
    scenarios: Sequence[Scenario]
    baseline: str
    seed: int
    profile: str
    min_blocks: int
    max_blocks: int
    max_time: float | None
    """Seconds; the run stops before a block that would end later."""
    required: frozenset[str]
    results: Path
    workdir: Path
    """The run's own folder `isobench-<run id>`, which the caller creates and removes."""
    command: Sequence[str]
    beneath: Sequence[Environment] = ()
    """Rungs of the ladder that are not run, but lie beneath one that is; the report names them."""
    sweep: Callable[[str], list[str]] | None = None
    """Removes what a run of this name left in the mechanisms, and reports it (`isobench.run.catalog.sweep`)."""
    label: str = ""
    before: Run | None = None
    """The run to resume: its plan, its record, its folder."""


class Stopper(Protocol):
    """Decides from the values so far whether more blocks are needed (isobench.analysis.stopping)."""

    def imprecise(self, series: Sequence[Series]) -> list[str]:
        """The benchmarks whose interval is still too wide."""
        ...


class Observer:
    """Is notified by the runner. Every method may be overridden; none returns anything."""

    def opening(self, environment: str) -> None: ...
    def skipped(self, skip: SkipRecord) -> None: ...
    def begins(self, writer: RunWriter) -> None: ...
    def block_begins(self, index: int, last: int, seconds_left: float | None) -> None: ...
    def planned(self, order: Sequence[Cell]) -> None: ...
    def cell_begins(self, cell: Cell) -> None: ...
    def cell_ends(self, cell: Cell, values: Mapping[str, float], failure: str) -> None: ...
    def block_ends(self, block: BlockRecord, writer: RunWriter) -> None: ...


def plan(cells: Sequence[Cell], baseline: str, seed: int, block: int) -> list[Cell]:
    """The order of one block: scenarios shuffled, and within each its environments and the baseline's second copy.

    The environments of one scenario stay together, so that the pairs of a block are close in time. Depends on the
    set of cells, the seed and the block alone, not on the order they come in.
    """
    order = random.Random(f"{seed}/{block}")
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(set(cells)):
        groups.setdefault(cell.scenario, []).append(cell)
        if cell.environment == baseline:
            groups[cell.scenario].append(Cell(baseline + CONTROL_SUFFIX, cell.scenario))
    names = list(groups)
    order.shuffle(names)
    for name in names:
        order.shuffle(groups[name])
    return [cell for name in names for cell in groups[name]]


def applicable(environments: Sequence[Environment], scenarios: Sequence[Scenario]) -> list[Cell]:
    """Every scenario in every environment with the capabilities it needs; one without metrics reports only facts."""
    return [Cell(e.name, s.name) for e in environments for s in scenarios if s.metrics and s.needs <= e.capabilities]


def execute(request: Request, stopper: Stopper | None = None, observer: Observer | None = None) -> RunWriter:
    """Measure; returns the writer of the finished run.

    An interruption (`KeyboardInterrupt`) loses the block it falls into and passes through after everything is closed.
    Raises `RequiredMissing`, `NothingMeasured`, `StoreError`.
    """
    observer = observer or Observer()
    machine.begin(cgroup for e in request.environments for mechanism in e.mechanisms for cgroup in mechanism.cgroups)
    with ExitStack() as ending:
        with ExitStack() as stack:
            sandboxes, skips, seconds = _open_all(request, stack, observer)
            missing = [skip for skip in skips if skip.environment in request.required]
            if missing:
                raise RequiredMissing(f"{missing[0].environment} is required but unavailable: {missing[0].reason}")
            opened = [e for e in request.environments if e.name in sandboxes]
            skips += _lacking(request.scenarios, opened)
            for skip in _unfit(request.scenarios, opened):
                skips.append(skip)
                observer.skipped(skip)
            request = request._replace(scenarios=[s for s in request.scenarios if not sight.lacks(s)])
            session = _session(request, sandboxes, skips, seconds)
            if request.before is not None:
                session = _resumed(request.before.session, session)
            writer = RunWriter(request.results, session, _units(request.scenarios), request.before)
            observer.begins(writer)
            ending.callback(writer.finish)  # last, even after an interruption: the environments are closed first
            stopped = "interrupted"
            try:
                stopped = _measure_blocks(request, sandboxes, writer, stopper, observer)
            finally:
                imprecise = stopper.imprecise(writer.clean_series) if stopper else []
                finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                writer.amend(finished=finished, stopped=stopped, imprecise=imprecise)
        if request.sweep is not None:
            writer.amend(left_behind=request.sweep(request.workdir.name))
    if not writer.measured:
        resume = f"isobench run --resume {shlex.quote(str(writer.path))}"
        remedy = resume if writer.session.stopped == "max-time" else ""
        raise NothingMeasured("nothing was measured: " + _why_nothing(writer.session), remedy=remedy)
    return writer


def _lacking(scenarios: Iterable[Scenario], environments: Sequence[Environment]) -> list[SkipRecord]:
    """The cells that will be missing because the host lacks what a scenario needs."""
    missing = [(scenario, why) for scenario in scenarios if (why := sight.lacks(scenario)) is not None]
    return [SkipRecord(e.name, s.name, *why) for s, why in missing for e in environments if s.needs <= e.capabilities]


def _unfit(scenarios: Iterable[Scenario], environments: Sequence[Environment]) -> list[SkipRecord]:
    """The environments that cannot run a workload: those that take no root file system but the shared one."""
    wanted = [scenario for scenario in scenarios if Capability.COMMAND in scenario.needs]
    reason = "it runs no programs but the probe"
    return [SkipRecord(e.name, s.name, reason) for s in wanted for e in environments if not s.needs <= e.capabilities]


def _measure_blocks(
    request: Request,
    sandboxes: Mapping[str, Sandbox],
    writer: RunWriter,
    stopper: Stopper | None,
    observer: Observer,
) -> str:
    """Measure block 0 (the warm-up) and the others; returns the reason why it stopped."""
    environments = [e for e in request.environments if e.name in sandboxes]
    scenarios = {s.name: s for s in request.scenarios}
    cells = applicable(environments, request.scenarios)
    gc.collect()
    gc.freeze()  # these objects stay: collecting them before every cell would take milliseconds
    with heartbeat.beating():
        return _block_after_block(request, sandboxes, writer, stopper, observer, cells, scenarios)


def _block_after_block(
    request: Request,
    sandboxes: Mapping[str, Sandbox],
    writer: RunWriter,
    stopper: Stopper | None,
    observer: Observer,
    cells: Sequence[Cell],
    scenarios: Mapping[str, Scenario],
) -> str:
    """Until as many blocks as requested can be used. An excluded one is replaced, up to `most_blocks`; a resumed run
    counts anew, from the blocks that it still lacks."""
    backoff = Backoff()
    earlier = request.before.session.blocks if request.before else []
    used = sum(block.index > 0 and not block.marks for block in earlier)
    first = earlier[-1].index + 1 if earlier else 0
    most = max(0, first - 1) + most_blocks(request.max_blocks - used)
    began_now, reading = time.monotonic(), machine.read()
    began = began_now - (earlier[-1].started + earlier[-1].seconds if earlier else 0.0)
    if first:
        last = first - 1 + min(request.max_blocks - used, most + 1 - first)
        _warm_up_again(request, sandboxes, observer, cells, scenarios, began, last)
        reading = machine.read()
    for index in range(first, most + 1):
        if used >= request.max_blocks:
            return "blocks"
        done = time.monotonic() - began_now
        per_block = done / (index - first) if index > first else None
        if request.max_time is not None and per_block is not None and done + per_block > request.max_time:
            return "max-time"
        wanted = min(request.max_blocks - used, most + 1 - index) + (index == 0)
        left = None if per_block is None else per_block * wanted
        observer.block_begins(index, index + wanted - 1, left)
        active = backoff.active(cells)
        if not active:
            return "nothing left to measure"
        order = plan(active, request.baseline, request.seed, index)
        observer.planned(order)
        block, samples, failures, short = _measure_block(index, order, sandboxes, scenarios, began, observer, reading)
        reading = machine.read()
        _record_short(writer, [*short, *backoff.count(block, failures)])
        writer.add_block(block, samples, failures)
        observer.block_ends(block, writer)
        used += index > 0 and not block.marks
        if used >= request.max_blocks:
            return "blocks"
        if stopper and index > 0 and used >= request.min_blocks and not stopper.imprecise(writer.clean_series):
            return "precise"
    return "disturbed"


def _warm_up_again(
    request: Request,
    sandboxes: Mapping[str, Sandbox],
    observer: Observer,
    cells: Sequence[Cell],
    scenarios: Mapping[str, Scenario],
    began: float,
    last: int,
) -> None:
    """Measure another warm-up block, since caches are cold by now. It is not kept: the record has one already."""
    observer.block_begins(0, last, None)
    order = plan(cells, request.baseline, request.seed, 0)
    observer.planned(order)
    _measure_block(0, order, sandboxes, scenarios, began, observer, machine.read())


def _resumed(before: Session, now: Session) -> Session:
    """The record of a resumed run. Raises `UsageError` if host, programs or scenarios differ from those it began with:
    the difference would be mistaken for a cost."""

    def identity(session: Session) -> dict[str, str]:
        names = ", ".join(scenario.name for scenario in session.scenarios)
        return {"host": session.host_id, "isobench": session.isobench, "scenarios": names, **session.fingerprint}

    known, found = identity(before), identity(now)
    differing = [name for name in {**known, **found} if known.get(name) != found.get(name)]
    if differing:
        changes = "; ".join(f"{name} was {known.get(name, 'none')}, is {found.get(name, 'none')}" for name in differing)
        raise UsageError(f"the run cannot be resumed: {changes}", remedy="start a new one: isobench run")
    last = before.blocks[-1].index if before.blocks else -1
    resumed = [*before.resumed, Resumption(now.started, last + 1)]
    return msgspec.structs.replace(
        before,
        finished="",
        stopped="",
        imprecise=[],
        left_behind=None,
        resumed=resumed,
        label=now.label or before.label,
    )


def _measure_block(
    index: int,
    order: Sequence[Cell],
    sandboxes: Mapping[str, Sandbox],
    scenarios: Mapping[str, Scenario],
    began: float,
    observer: Observer,
    reading: Mapping[str, float],
) -> tuple[BlockRecord, list[Sample], list[FailureRecord], list[SkipRecord]]:
    """One block: every cell in this order. A failing cell is recorded and the block goes on.

    `reading` is the host's counters after the block before: a CPU taken off between two cells is seen by none of them.
    """
    short: list[SkipRecord] = []
    samples: list[Sample] = []
    failures: list[FailureRecord] = []
    records: list[CellRecord] = []
    block_began = time.monotonic()
    for cell in order:
        observer.cell_begins(cell)
        sandbox = TimedSandbox(sandboxes[cell.environment.removesuffix(CONTROL_SUFFIX)])
        gc.collect()
        before, started = machine.read(), time.monotonic()
        failure = ""
        values: Mapping[str, float] = {}
        gc.disable()
        try:
            values, reason = _measure(scenarios[cell.scenario], sandbox)
            if reason:
                short.append(SkipRecord(cell.environment.removesuffix(CONTROL_SUFFIX), cell.scenario, reason))
        except Exception as error:  # no error may affect the other cells
            failure, console = reason_of(error), as_text(str(getattr(error, "console", "")))
            failures.append(FailureRecord(index, cell.environment, cell.scenario, failure, console))
        finally:
            gc.enable()
        seconds = time.monotonic() - started
        interference = machine.delta(before, machine.read())
        samples += [Sample(index, cell.environment, cell.scenario, name, value) for name, value in values.items()]
        inside = min(sandbox.inside, seconds)
        record = CellRecord(cell.environment, cell.scenario, started - began, seconds, inside, interference)
        records.append(record)
        observer.cell_ends(cell, values, failure)
    expected = {
        name: scenario.expected_interference
        for name, scenario in scenarios.items()
        if isinstance(scenario, ExpectsInterference)
    }
    seconds = time.monotonic() - block_began
    found = marks(records, expected, machine.delta(dict(reading), machine.read()))
    block = BlockRecord(index, block_began - began, seconds, records, found)
    return block, samples, failures, short


def _measure(scenario: Scenario, sandbox: Sandbox) -> tuple[Mapping[str, float], str]:
    """The values, and why some are missing: it stopped short, or they depend on what cannot be observed here.

    Raises `MeasurementError` where one is no cost of its.
    """
    reason = ""
    try:
        values = scenario.measure(sandbox)
    except StoppedShort as error:
        values, reason = error.values, as_text(error.reason)
    known = {metric.name: metric for metric in scenario.metrics}
    for name, value in values.items():
        if name not in known:
            raise MeasurementError(f"{scenario.name} returned {name!r}, which is not one of its metrics")
        if not known[name].can_be(value):
            raise MeasurementError(f"{name} is {value}: {_CAN_BE[known[name].sign]}")
    absent = sight.hidden(scenario, sight.unseen(sandbox))
    values = {name: value for name, value in values.items() if name not in absent}
    return values, "; ".join(filter(None, (reason, sight.in_words(absent))))


def _record_short(writer: RunWriter, short: Sequence[SkipRecord]) -> None:
    """Record once for each cell that it stopped short, with the first reason: later ones differ only in a number."""
    known = {(skip.environment, skip.scenario) for skip in writer.session.skips}
    new = {(skip.environment, skip.scenario): skip for skip in reversed(short)}
    added = [skip for key, skip in new.items() if key not in known]
    if added:
        writer.amend(skips=[*writer.session.skips, *added])


class TimedSandbox:
    """A sandbox that adds up the seconds its instances lived, from requested to gone.

    It has whatever capabilities the sandbox has (a guest's memory, a published port), as members of its own, so that
    `isinstance` finds them.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.inside = 0.0
        vars(self).update({name: getattr(sandbox, name) for name in OF_SANDBOXES if hasattr(sandbox, name)})

    def facts(self) -> Mapping[str, str]:
        return self._sandbox.facts()

    def daemons(self) -> list[int]:
        return self._sandbox.daemons()

    def launch(self, launch: Launch) -> AbstractContextManager[Instance]:
        return self._launch(launch._replace(timeout=deadlines.scaled(launch.timeout)))

    @contextmanager
    def _launch(self, launch: Launch) -> Iterator[Instance]:
        with self._sandbox.launch(launch) as instance:
            yield instance
        events = instance.events
        if "requested" in events and "gone" in events:
            self.inside += (events["gone"] - events["requested"]) / 1e9


def _open_all(
    request: Request, stack: ExitStack, observer: Observer
) -> tuple[dict[str, Sandbox], list[SkipRecord], dict[str, float]]:
    """Open every environment and launch it once; one that fails is skipped. Also returns the seconds of opening."""
    sandboxes: dict[str, Sandbox] = {}
    skips: list[SkipRecord] = []
    seconds: dict[str, float] = {}
    for environment in request.environments:
        observer.opening(environment.name)
        workdir = request.workdir / environment.name
        try:
            with ExitStack() as attempt:
                workdir.mkdir(mode=0o711)
                began = time.monotonic()
                sandbox = attempt.enter_context(environment.open(workdir))
                seconds[environment.name] = time.monotonic() - began
                smoke_test(sandbox)
                stack.push(attempt.pop_all())
            sandboxes[environment.name] = sandbox
        except Exception as error:
            if isinstance(error, Unavailable):
                with suppress(OSError):
                    workdir.rmdir()  # an empty folder means that nothing was created, so nothing has to be cleaned
            skip = SkipRecord(environment.name, "", *reason_and_remedy(error))
            skips.append(skip)
            observer.skipped(skip)
    return sandboxes, skips, seconds


def smoke_test(sandbox: Sandbox) -> None:
    """Launch the idle probe once and let it exit. Raises `MeasurementError` with the reason if that fails."""
    began = time.monotonic()
    with sandbox.launch(idle(timeout=deadlines.ready())) as instance:
        status = instance.wait()
        if status != 0:  # the first byte may have been an error message
            said = instance.stdout.read(1 << 16).decode(errors="replace")
            raise MeasurementError(f"it ended with status {status} although it sent something", console=said)
    deadlines.learn_smoke_test(time.monotonic() - began)


def _session(
    request: Request, sandboxes: Mapping[str, Sandbox], skips: Sequence[SkipRecord], seconds: Mapping[str, float]
) -> Session:
    environments = [
        _environment_record(request, e, sandboxes.get(e.name), seconds.get(e.name, 0.0)) for e in request.environments
    ]
    versions = {"isobench": isobench.__version__}
    for environment in environments:
        for key, text in environment.facts.items():
            if key.startswith("version."):
                versions[key.removeprefix("version.")] = text
    return Session(
        schema=SCHEMA,
        run_id=request.run_id,
        isobench=isobench.__version__,
        host_id=machine.host_id(),
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command=list(request.command),
        seed=request.seed,
        profile=request.profile,
        baseline=request.baseline,
        host=machine.facts(),
        fingerprint={**machine.fingerprint(), **{k: v for k, v in versions.items() if k != "isobench"}},
        versions=versions,
        environments=environments,
        beneath=[_environment_record(request, environment, None) for environment in request.beneath],
        scenarios=[ScenarioRecord(s.name, s.title, [_metric_record(m) for m in s.metrics]) for s in request.scenarios],
        skips=list(skips),
        label=request.label,
    )


def _metric_record(metric: Metric) -> MetricRecord:
    purpose = None if metric.purpose is None else PurposeRecord(*metric.purpose)
    return MetricRecord(metric.name, metric.unit, metric.meaning, metric.sign, purpose)


def _environment_record(
    request: Request, environment: Environment, sandbox: Sandbox | None, seconds: float = 0.0
) -> EnvironmentRecord:
    facts: dict[str, str] = {}
    if sandbox is not None:
        try:
            facts.update(sandbox.facts())
        except Exception as error:  # a daemon may have died since, or sent an unexpected answer
            facts["facts"] = f"not known: {reason_of(error)}"
        if Capability.PROBE in environment.capabilities:
            facts.update(probe_fact())
        if Capability.ROOTFS in environment.capabilities:
            facts.update(fio_fact())
        for scenario in request.scenarios:
            if isinstance(scenario, TellsFacts) and scenario.needs <= environment.capabilities:
                try:
                    facts.update({f"{scenario.name}.{key}": text for key, text in scenario.facts(sandbox).items()})
                except Exception as error:
                    facts[f"{scenario.name}.facts"] = f"not known: {reason_of(error)}"
        facts = {key: as_text(str(text).replace(str(request.workdir), "WORK")) for key, text in facts.items()}
    return EnvironmentRecord(
        name=environment.name,
        title=environment.title,
        layer=environment.layer,
        adds=environment.adds,
        compared_with=environment.compared_with,
        single_factor=environment.single_factor,
        facts=facts,
        opened_seconds=seconds if sandbox is not None else 0.0,
        groups=sorted(environment.groups),
    )


def _units(scenarios: Sequence[Scenario]) -> dict[tuple[str, str], str]:
    return {(s.name, m.name): m.unit for s in scenarios for m in s.metrics}


def _why_nothing(session: Session) -> str:
    if session.failures:
        return session.failures[0].reason
    if session.stopped == "max-time":
        return "after the warm-up block, no block fits into --max-time"
    if session.skips:
        return f"{session.skips[0].environment}: {session.skips[0].reason}"
    return "no scenario applies to the chosen environments"
