"""isobench run: measure, and write the report."""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import re
import secrets
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, NotRequired, TypedDict

from isobench.commands.clean import size
from isobench.commands.report import REPORTS
from isobench.core import deadlines, terminal
from isobench.core.errors import Interrupted, IsobenchError, NothingMeasured, UsageError
from isobench.core.model import BASELINE
from isobench.results import runs
from isobench.run import catalog, lifecycle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from isobench.analysis.results import Results
    from isobench.contracts.scenario import Scenario
    from isobench.results.record import FailureRecord, Session
    from isobench.results.store import Run
    from isobench.run.estimate import Estimate
    from isobench.run.plan import Request
    from isobench.run.progress import Progress
    from isobench.workloads.measured import Measured


class Profile(NamedTuple):
    """The number of blocks, and how narrow every interval must be (0.02: ±2 %); None: the number of blocks decides."""

    min_blocks: int
    max_blocks: int
    width: float | None


PROFILES = {
    "quick": Profile(6, 6, None),
    "default": Profile(20, 20, None),
    "rigorous": Profile(20, 100, 0.02),
}
"""quick has the fewest blocks that give a 95 % interval; rigorous continues until the intervals are narrow."""


SCHEMA = 1
EXAMPLES = """\
  isobench run --profile quick                    a first look, in a few minutes
  isobench run -e process,docker -s startup       one question
  isobench run -e ladder -s startup               where the cost of a container comes from
  isobench run --max-time 20m --json > run.json   within a time limit; verdicts as JSON
  isobench run -w sqlite,./mine.toml              real programs, and your own
  isobench run --image ./my.tar -e process,docker the program of a container image
  isobench run -e process,docker -- ./program x   a program of your own, run with this argument
  isobench run --label before                     a label for `isobench compare before after`
  isobench run --resume                           complete the newest run, if it ended early
"""


class SummaryRow(TypedDict):
    """One metric in one environment, in seconds or bytes and relative to the baseline. Missing values are null."""

    scenario: str
    metric: str
    environment: str
    unit: Literal["second", "byte"]
    n: int
    median: float | None
    q25: float | None
    q75: float | None
    minimum: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    p: float | None
    p_holm: float | None
    verdict: Literal["slower", "faster", "equivalent", "inconclusive", ""]
    mde: float | None
    control: bool
    taken: int
    effective: float | None
    strayed: float | None


class Document(TypedDict):
    """What `isobench run --json` prints. `error`, `remedy` and `exit_code` are present if the run ended early."""

    schema: int
    run: str | None
    report: dict[str, str]
    summary: list[SummaryRow]
    error: NotRequired[str]
    remedy: NotRequired[str]
    exit_code: NotRequired[int]


class PlannedCell(TypedDict):
    """One measurement of a block."""

    environment: str
    scenario: str


class Plan(TypedDict):
    """What `isobench run --dry-run --json` prints. `seconds` is the estimated duration, `origin` its basis,
    `first_block` the cells of one block in order."""

    schema: int
    command: list[str]
    blocks: int
    seed: int
    seconds: float
    origin: str
    first_block: list[PlannedCell]


def documents() -> dict[str, object]:
    return {"run": Document, "plan": Plan}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(program=[])  # the words after `--`
    plan = functools.partial(parser.add_argument, action=Given)
    plan("-e", "--environments", default="default", metavar="ENV,..", help="names or groups (default)")
    plan("-s", "--scenarios", default="default", metavar="SCENARIO,..", help="names (default)")
    plan("-w", "--workloads", default="", metavar="WORKLOAD,..", help="names or TOML files, instead of scenarios")
    plan("--image", default="", metavar="IMAGE", help="an OCI or Docker archive, or a reference: run its program")
    plan("--cpus", type=int, metavar="N", help="CPUs of each workload's instances (the host's, 4 at most)")
    plan("--memory", type=size, metavar="1G", help="memory of each workload's instances (512M, or what it needs)")
    plan("--profile", choices=PROFILES, default="default", help="quick, default or rigorous")
    plan("--blocks", type=int, metavar="N", help="number of blocks after the warm-up")
    parser.add_argument("--max-time", type=seconds, metavar="20m", help="do not start a block that would end later")
    plan("--seed", type=int, help="determines the random order (default: random)")
    plan("--baseline", default=BASELINE, metavar="ENV", help=f"what ratios are taken to ({BASELINE})")
    plan("--require", default="", metavar="ENV,..", help="exit 4 if one of these is unavailable")
    parser.add_argument("--label", type=label, metavar="TEXT", help="label of this run")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=runs.LATEST,
        metavar=runs.METAVAR,
        help="complete the plan of a run that ended early (latest)",
    )
    add_timeout(parser)
    parser.add_argument("--out", type=Path, default=runs.RESULTS, metavar="DIR", help="results folder (results/)")
    parser.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR", help="reports folder (reports/)")
    parser.add_argument("--no-report", action="store_true", help="measure only")
    parser.add_argument("--wait", action="store_true", help="wait while another run measures")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and the estimated duration")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/run.schema.json, docs/plan.schema.json)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line per cell")


class Given(argparse.Action):
    """An option that is recorded as given, because a resumed run keeps its own plan. A list (`NAME,..`) that is given
    in several parts is all of them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        given = getattr(namespace, "given", [])
        if str(self.metavar).endswith(",..") and set(given).intersection(self.option_strings):
            values = f"{getattr(namespace, self.dest)},{values}"
        setattr(namespace, self.dest, values)
        namespace.given = [*given, option_string]


def label(text: str) -> str:
    """A run's label: one line of printable text that has no other meaning and can be part of a list."""
    text = text.strip()
    if not text or len(text) > _LONGEST_LABEL or not text.isprintable():
        raise UsageError(
            f"{text[:40]!r} is not a label", remedy=f"a line of 1 to {_LONGEST_LABEL} printable characters"
        )
    if "," in text or "/" in text:
        raise UsageError(f"{text!r} is not a label: commas separate runs, and slashes separate folders")
    if text in (runs.LATEST, runs.PREVIOUS):
        raise UsageError(f"{text!r} is reserved: it names a run by its position", remedy="choose another label")
    return text


_LONGEST_LABEL = 100


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """The one option for every deadline, the same in every command that launches instances."""
    text = "deadline of an instance to become ready; all others scale with it (default: learned, at least 60s)"
    parser.add_argument("--timeout", type=timeout, metavar="5m", help=text)


def timeout(text: str) -> float:
    """The seconds that an instance may take to become ready."""
    chosen = seconds(text)
    if chosen > deadlines.LONGEST:
        raise UsageError(f"{text!r} is too long for one instance", remedy="an hour at most: --timeout 1h")
    return chosen


def seconds(text: str) -> float:
    """Convert 90, 90s, 20m or 2h to seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is not a duration", remedy="90s, 20m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


class Outcome(NamedTuple):
    """The outcome of a run."""

    results: Results
    report: dict[str, Path]
    """The report's file of each format; empty without a report."""
    nothing: str
    """Why nothing can be concluded from it; empty if something can."""
    unfinished: str
    """Why it ended before its plan was complete, and how to continue; empty if it is complete."""

    @property
    def path(self) -> Path:
        return self.results.run.path

    @property
    def failed(self) -> list[FailureRecord]:
        """Cells that failed in a measured block."""
        return [failure for failure in self.results.session.failures if failure.block > 0]

    @property
    def exit_code(self) -> int:
        return NothingMeasured.exit_code if self.nothing else 1 if self.failed else 0

    def document(self) -> dict[str, object]:
        """As `Document` describes it."""
        report = {name: str(file) for name, file in self.report.items()}
        summary = [row._asdict() for row in self.results.estimates]
        return {**_document(self.path), "report": report, "summary": summary}

    def for_terminal(self) -> list[RenderableType]:
        """For a terminal: the verdicts, and the paths of the files."""
        from isobench.run.progress import last_words

        files = [f"results: {self.path}", *(f"report:  {file}" for file in self.report.values())]
        return [*last_words(self.results), *filter(None, [self.unfinished]), *files]

    def error(self) -> NothingMeasured:
        """The error of a run from which nothing can be concluded."""
        error = NothingMeasured(self.nothing, remedy=f"on a quiet host: {_resume(self.path)}")
        error.document = self.document()
        return error


def run(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _dry_run(_planned(arguments), as_data=arguments.json)
    outcome = measured(arguments)
    if not arguments.json:
        terminal.tell(*outcome.for_terminal())
    elif not outcome.nothing:
        terminal.print_json(outcome.document())
    if outcome.failed:
        first = outcome.failed[0]
        terminal.paragraph(
            f"isobench: {len(outcome.failed)} cells failed, the first: {first.environment}: {first.reason}", errors=True
        )
    if outcome.nothing:
        raise outcome.error()
    return outcome.exit_code


def _planned(arguments: argparse.Namespace) -> Request:
    run_id = lifecycle.new_run_id()
    if arguments.resume is None:
        return _request(arguments, run_id)
    return _resumed(_interrupted(arguments), arguments, run_id)


def measured(arguments: argparse.Namespace) -> Outcome:
    """Measure according to these arguments, and write the report. Progress goes to standard error; standard output
    stays empty.

    Raises `Interrupted`, or another `IsobenchError`, each with the document of what was measured."""
    from isobench.probe.launcher import learn_deadlines
    from isobench.results.record import SkipRecord
    from isobench.run import runner
    from isobench.run.progress import Progress

    request = _planned(arguments)
    expected = _estimate(request)
    progress = Progress(
        block_seconds=expected.seconds,
        cell_seconds=expected.cells,
        quiet=arguments.quiet,
        verbose=arguments.verbose,
    )
    stopper = None
    for skip in request.before.session.skips if request.before else ():
        if not skip.scenario:
            progress.skipped(SkipRecord(skip.environment, "", f"as before: {skip.reason}", skip.remedy))
    width = PROFILES[request.profile].width
    if width is not None:
        from isobench.analysis.stopping import WidthStopper

        stopper = WidthStopper(request.baseline, width)
    lifecycle.clean(catalog.sweep)
    deadlines.begin(arguments.timeout)
    try:
        with lifecycle.running(request.run_id, wait=arguments.wait, sweep=catalog.sweep) as workdir:
            try:
                learn_deadlines()
                writer = runner.execute(request._replace(workdir=workdir), stopper, progress)
            finally:
                progress.close()
        return _concluded(writer.path, arguments, request)
    except KeyboardInterrupt:
        path = progress.writer.path if progress.writer else None
        report = f"isobench report {shlex.quote(str(path))}"
        remedy = f"continue: {_resume(path)}; report: {report}" if path else ""
        raise Interrupted(_where_it_is(progress), remedy=remedy, document=_document(path)) from None
    except IsobenchError as error:
        error.document = error.document or _document(progress.writer.path if progress.writer else None)
        raise


def _resume(path: Path) -> str:
    """The command that resumes a run."""
    return f"isobench run --resume {shlex.quote(str(path))}"


def _where_it_is(progress: Progress) -> str:
    """The folder of an interrupted run's finished blocks, in a sentence."""
    writer = progress.writer
    if writer is None:
        return "interrupted"
    blocks = max(0, writer.blocks - 1)
    return f"interrupted; {blocks} finished {'block is' if blocks == 1 else 'blocks are'} in {writer.path}"


def _document(run: Path | None) -> dict[str, object]:
    """The document of a run that ended early."""
    return {"schema": SCHEMA, "run": str(run) if run else None, "report": {}, "summary": []}


def _interrupted(arguments: argparse.Namespace) -> Run:
    """The run to resume. Raises `UsageError` if it cannot be resumed, or if options of the plan are given."""
    from isobench.filesystem.ownership import folder
    from isobench.results import journal, store
    from isobench.results.record import COMPLETE

    given = [*getattr(arguments, "given", []), *(["--"] if arguments.program else [])]
    if given:
        raise UsageError(
            f"{given[0]} is part of the plan, and a resumed run keeps its own", remedy="isobench run --resume"
        )
    path = runs.one(arguments.resume, arguments.out)
    run = store.load(path)
    try:
        with folder(path):  # it will be written to
            pass
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if (path / journal.NAME).exists():
        raise UsageError(
            f"{path} is still being measured, or belongs to another user", remedy="wait until it has ended"
        )
    if run.session.stopped in COMPLETE:
        raise UsageError(f"{path} is complete: there is nothing to resume", remedy="isobench run")
    if run.session.profile not in PROFILES:
        raise UsageError(f"{path} has a profile unknown to this version of isobench")
    return run


def _resumed(before: Run, arguments: argparse.Namespace, run_id: str) -> Request:
    """The rest of a run's plan: its environments that could be opened, its scenarios, seed and blocks."""
    from isobench.run.plan import Request

    session, profile = before.session, PROFILES[before.session.profile]
    skipped = {skip.environment for skip in session.skips if not skip.scenario}
    names = [one.name for one in session.environments if one.name not in skipped]
    scenarios = _scenarios_of(session)
    given = _word_after("--blocks", session.command)
    blocks = int(given) if given.isdecimal() else None
    if arguments.timeout is None and (given := _word_after("--timeout", session.command)):
        arguments.timeout = timeout(given)
    if not arguments.no_report:
        _check_writable(arguments.reports, "reports", "--reports")
    return Request(
        run_id=run_id,
        environments=catalog.select_environments(",".join(names)),
        scenarios=scenarios,
        baseline=session.baseline,
        seed=session.seed,
        profile=session.profile,
        min_blocks=blocks or profile.min_blocks,
        max_blocks=blocks or profile.max_blocks,
        max_time=arguments.max_time,
        required=frozenset(names),
        results=arguments.out,
        workdir=Path(),
        command=session.command,
        sweep=catalog.sweep,
        label=arguments.label or "",
        before=before,
    )


def _request(arguments: argparse.Namespace, run_id: str) -> Request:
    from isobench.run.plan import Request

    profile = PROFILES[arguments.profile]
    environments = catalog.select_environments(arguments.environments)
    baseline = catalog.select_environments(arguments.baseline)
    if len(baseline) != 1:
        raise UsageError(f"--baseline takes one environment, not {arguments.baseline!r}")
    if baseline[0] not in environments:
        environments = [*baseline, *environments]
    if arguments.blocks is not None and arguments.blocks < 1:
        raise UsageError("--blocks must be greater than 0")
    required = catalog.select_environments(arguments.require) if arguments.require else []
    missing = [e.name for e in required if e not in environments]
    if missing:
        raise UsageError(f"--require names {missing[0]}, which is not among the chosen environments")
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    _check_writable(arguments.out, "results", "--out")
    if not arguments.no_report:
        _check_writable(arguments.reports, "reports", "--reports")
    return Request(
        run_id=run_id,
        environments=environments,
        scenarios=_scenarios(arguments),
        baseline=baseline[0].name,
        seed=seed,
        profile=arguments.profile,
        min_blocks=arguments.blocks or profile.min_blocks,
        max_blocks=arguments.blocks or profile.max_blocks,
        max_time=arguments.max_time,
        required=frozenset(e.name for e in required),
        results=arguments.out,
        workdir=Path(),
        command=_command(arguments, seed),
        beneath=catalog.beneath(environments),
        sweep=catalog.sweep,
        label=arguments.label or "",
    )


def _scenarios(arguments: argparse.Namespace) -> list[Scenario]:
    """The workloads and the scenarios that are named; without a workload the default scenarios."""
    if arguments.cpus is not None and arguments.cpus < 1:
        raise UsageError("--cpus must be greater than 0")
    chosen = arguments.cpus or 0, arguments.memory or 0
    workloads = _workloads(arguments.workloads, arguments.image, arguments.program, chosen)
    return [*workloads, *(catalog.select_scenarios(arguments.scenarios) if _names_scenarios(arguments) else [])]


def _names_scenarios(arguments: argparse.Namespace) -> bool:
    """Whether scenarios are measured: they were named, or nothing else was."""
    named = {"-s", "--scenarios"}.intersection(getattr(arguments, "given", []))
    return bool(named) or not (arguments.workloads or arguments.image or arguments.program)


def _workloads(words: str, image: str, program: Sequence[str], chosen: tuple[int, int]) -> list[Measured]:
    """The workloads of `-w`, and the program after `--`, or an image's with what is after `--` as its arguments."""
    if not (words or image or program):
        return []
    from isobench.workloads.measured import Measured
    from isobench.workloads.program import program_workload
    from isobench.workloads.workload import Allotment

    allotment = Allotment(*chosen)
    if image:
        from isobench.workloads.root import image_workload

        own = [Measured(image_workload(image, program), allotment)]
    else:
        own = [Measured(program_workload(program), allotment)] if program else []
    return [*own, *(catalog.select_workloads(words, allotment) if words else [])]


def _scenarios_of(session: Session) -> list[Scenario]:
    """The scenarios of a resumed run. Raises `UsageError` if a workload has changed since."""
    told = session.command
    memory = _word_after("--memory", told)
    given = int(_word_after("--cpus", told) or 0), size(memory) if memory else 0
    workloads = _workloads(_word_after("-w", told), _word_after("--image", told), _parted(told)[1], given)
    names = [scenario.name for scenario in session.scenarios]
    for workload in workloads:
        before = {one.facts.get(f"{workload.name}.root") for one in session.environments} - {None}
        if workload.name in names and before - {workload.identity}:
            raise UsageError(f"{workload.name} has changed since the run began", remedy="start a new one: isobench run")
    rest = [name for name in names if name not in {workload.name for workload in workloads}]
    chosen = [workload for workload in workloads if workload.name in names]
    return [*chosen, *(catalog.select_scenarios(",".join(rest)) if rest else [])]


def _parted(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """A command's own words, and the program's after `--`."""
    if "--" not in words:
        return words, ()
    place = words.index("--")
    return words[:place], words[place + 1 :]


def _word_after(option: str, words: Sequence[str]) -> str:
    """The value of an option in a command written by `_command`, or nothing."""
    own, _ = _parted(words)
    return next((value for word, value in itertools.pairwise(own) if word == option), "")


def _command(arguments: argparse.Namespace, seed: int) -> list[str]:
    """The command that repeats this run: the same choices and the same seed."""
    words = ["isobench", "run", "-e", arguments.environments]
    if arguments.workloads:
        words += ["-w", arguments.workloads]
    if arguments.image:
        words += ["--image", arguments.image]
    if arguments.cpus is not None:
        words += ["--cpus", str(arguments.cpus)]
    if arguments.memory is not None:
        words += ["--memory", f"{arguments.memory >> 20}M"]
    if _names_scenarios(arguments):
        words += ["-s", arguments.scenarios]
    words += ["--profile", arguments.profile, "--seed", str(seed)]
    if arguments.blocks is not None:
        words += ["--blocks", str(arguments.blocks)]
    if arguments.timeout is not None:
        words += ["--timeout", f"{arguments.timeout:g}"]
    if arguments.baseline != BASELINE:
        words += ["--baseline", arguments.baseline]
    return [*words, "--", *arguments.program] if arguments.program else words


def _check_writable(folder: Path, what: str, option: str) -> None:
    """Check before measuring that the results can be stored."""
    there = folder.absolute()
    while not os.path.lexists(there):  # False, too, for a path below a folder that this user cannot search
        there = there.parent
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):  # noqa: PTH112 (nor may this raise)
        raise UsageError(f"cannot write {what} to {folder}", remedy=f"choose another folder with {option}")


def _estimate(request: Request) -> Estimate:
    from isobench.host import machine
    from isobench.run.estimate import block_seconds
    from isobench.run.plan import applicable

    cells = applicable(request.environments, request.scenarios)
    return block_seconds(cells, request.environments, request.baseline, request.results, machine.host_id())


def _dry_run(request: Request, *, as_data: bool) -> int:
    from isobench.report import format
    from isobench.run.plan import applicable, plan

    cells = applicable(request.environments, request.scenarios)
    estimate = _estimate(request)
    earlier = request.before.session.blocks if request.before else []
    blocks = request.max_blocks - sum(block.index > 0 and not block.marks for block in earlier)
    first = earlier[-1].index + 1 if earlier else 1
    if as_data:
        planned = [PlannedCell(environment=one.environment, scenario=one.scenario)
                   for one in plan(cells, request.baseline, request.seed, first)]  # fmt: skip
        seconds = estimate.seconds * (blocks + 1)
        shown = Plan(schema=SCHEMA, command=list(request.command), blocks=blocks, seed=request.seed,
                    seconds=seconds, origin=estimate.origin, first_block=planned)  # fmt: skip
        terminal.print_json(shown)
        return 0
    print(shlex.join(request.command))
    print(f"{blocks} blocks after one warm-up block, {len(cells)} cells each and the baseline twice")
    print(f"about {format.duration(estimate.seconds * (blocks + 1))} ({estimate.origin})")
    for cell in plan(cells, request.baseline, request.seed, first):
        print(f"  {cell.scenario:12} {cell.environment}")
    return 0


def _concluded(path: Path, arguments: argparse.Namespace, request: Request) -> Outcome:
    """Load the run from disk and write its report."""
    from isobench.analysis import results

    found = results.load(path)
    written: dict[str, Path] = {}
    if not arguments.no_report:
        from isobench.report.build import render

        written = render(found, arguments.reports / path.parent.name / path.name)
    nothing = _nothing_concluded(found.session, request)
    return Outcome(found, written, nothing, "" if nothing else _unfinished(found.run, request))


def _unfinished(run: Run, request: Request) -> str:
    """Why a run ended before its plan was complete, and how to continue; empty if it is complete."""
    from isobench.results.record import COMPLETE

    session = run.session
    if session.stopped in COMPLETE:
        return ""
    used = sum(block.index > 0 and not block.marks for block in session.blocks)
    why = _ENDED.get(session.stopped, session.stopped)
    return f"ended after {used} of {request.max_blocks} blocks, because {why}; continue: {_resume(run.path)}"


_ENDED = {
    "max-time": "another block would have exceeded --max-time",
    "disturbed": "too many blocks were disturbed",
    "nothing left to measure": "every cell failed repeatedly",
}
"""`Session.stopped` -> the reason in words."""


def _nothing_concluded(session: Session, request: Request) -> str:
    """Why nothing can be concluded; empty if something can."""
    from isobench.analysis.paired import FEWEST_PAIRS

    used = sum(block.index > 0 and not block.marks for block in session.blocks)
    if used >= min(request.max_blocks, FEWEST_PAIRS):
        return ""
    marks = Counter(words for block in session.blocks for words in map(_without_figure, block.marks))
    others = f"were disturbed, because {marks.most_common(1)[0][0]}" if marks else "are missing"
    return f"nothing can be concluded from {used} of {request.max_blocks} blocks: the others {others}"


def _without_figure(mark: str) -> str:
    return mark.partition(" (")[0]
