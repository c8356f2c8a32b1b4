"""isobench run: measure, and write the report."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from isobench.commands._options import Given, add_timeout
from isobench.core import deadlines, display, terminal
from isobench.core.errors import Interrupted, IsobenchError, NothingMeasured, UsageError
from isobench.core.model import BASELINE
from isobench.core.quantities import seconds, size
from isobench.layout import format
from isobench.lifecycle import leftovers
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.planning.choice import PROFILES, Choice, Terms, new_request
from isobench.planning.estimate import expected
from isobench.planning.plan import applicable, plan
from isobench.planning.resume import resumable, resumed_request, resuming
from isobench.results import runs
from isobench.run import measurement

if TYPE_CHECKING:
    import argparse

    from isobench.planning.plan import Request
    from isobench.run.outcome import Outcome
    from isobench.run.progress import Progress

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
    parser.set_defaults(program=[], given=[])  # the words after `--`; the options of the plan
    planned = functools.partial(parser.add_argument, action=Given)
    planned("-e", "--environments", default="default", metavar="ENV,..", help="names or groups (default)")
    planned("-s", "--scenarios", default="default", metavar="SCENARIO,..", help="names (default)")
    planned("-w", "--workloads", default="", metavar="WORKLOAD,..", help="names or TOML files, instead of scenarios")
    planned("--image", default="", metavar="IMAGE", help="an OCI or Docker archive, or a reference: run its program")
    planned("--cpus", type=int, metavar="N", help="CPUs of each workload's instances (the host's, 4 at most)")
    planned("--memory", type=size, metavar="1G", help="memory of each workload's instances (512M, or what it needs)")
    planned("--profile", choices=PROFILES, default="default", help="6 blocks, 20, or as many as it takes (default)")
    planned("--blocks", type=int, metavar="N", help="number of blocks after the warm-up")
    parser.add_argument("--max-time", type=seconds, metavar="20m", help="do not start a block that would end later")
    planned("--seed", type=int, help="determines the random order (default: random)")
    planned("--baseline", default=BASELINE, metavar="ENV", help=f"what ratios are relative to ({BASELINE})")
    planned("--require", default="", metavar="ENV,..", help="exit 4 if one of these is unavailable")
    parser.add_argument("--label", type=runs.label, metavar="TEXT", help="label of this run")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=runs.LATEST,
        metavar=runs.METAVAR,
        help="complete the plan of a run that ended early (latest)",
    )
    add_timeout(parser)
    parser.add_argument("--out", type=Path, default=runs.RESULTS, metavar="DIR", help="results folder (results/)")
    parser.add_argument("--reports", type=Path, default=runs.REPORTS, metavar="DIR", help="reports folder (reports/)")
    parser.add_argument("--no-report", action="store_true", help="measure only")
    parser.add_argument("--wait", action="store_true", help="wait while another run measures")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and the estimated duration")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/run.schema.json, docs/plan.schema.json)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line per cell")


def run(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _dry_run(_request(arguments), as_data=arguments.json)
    outcome = measured(arguments)
    if not arguments.json:
        display.tell(*outcome.words())
    elif not outcome.nothing:
        terminal.print_json(document(outcome))
    if outcome.failed:
        first = outcome.failed[0]
        count = f"{len(outcome.failed)} cells failed, the first" if outcome.failed[1:] else "1 cell failed"
        terminal.paragraph(f"isobench: {count}: {first.environment}: {first.reason}", errors=True)
    if outcome.nothing:
        raise nothing_concluded(outcome)
    return outcome.exit_code


def _request(arguments: argparse.Namespace) -> Request:
    """The request that the options make. Raises `UsageError`."""
    run_id = new_run_id()
    if arguments.resume is None:
        return new_request(_choice(arguments), _terms(arguments), run_id)
    given = [*arguments.given, *(["--"] if arguments.program else [])]
    if given:
        raise UsageError(
            f"{given[0]} is part of the plan, and a resumed run keeps its own", remedy="isobench run --resume"
        )
    return resumed_request(resumable(runs.one(arguments.resume, arguments.out)), _terms(arguments), run_id)


def _choice(arguments: argparse.Namespace) -> Choice:
    """Scenarios are measured if they were named, or if nothing else was."""
    named = not {"-s", "--scenarios"}.isdisjoint(arguments.given)
    alone = not (arguments.workloads or arguments.image or arguments.program)
    return Choice(
        environments=arguments.environments,
        scenarios=arguments.scenarios if named or alone else None,
        workloads=arguments.workloads,
        image=arguments.image,
        program=arguments.program,
        cpus=arguments.cpus,
        memory=arguments.memory,
        profile=arguments.profile,
        blocks=arguments.blocks,
        seed=arguments.seed,
        baseline=arguments.baseline,
        require=arguments.require,
    )


def _terms(arguments: argparse.Namespace) -> Terms:
    return Terms(
        max_time=arguments.max_time,
        timeout=arguments.timeout,
        label=arguments.label or "",
        results=arguments.out,
        reports=None if arguments.no_report else arguments.reports,
    )


def _dry_run(request: Request, *, as_data: bool) -> int:
    """Print the plan."""
    estimate = expected(request)
    session = request.before.session if request.before else None
    blocks = request.max_blocks - (session.blocks_used if session else 0)
    first = session.blocks[-1].index + 1 if session and session.blocks else 1
    cells = applicable(request.environments, request.scenarios)
    order = plan(cells, request.baseline, request.seed, first)
    duration = estimate.seconds * (blocks + 1)
    if as_data:
        planned = [PlannedCell(environment=one.environment, scenario=one.scenario) for one in order]
        shown = Plan(schema=SCHEMA, command=list(request.command), blocks=blocks, seed=request.seed,
                     seconds=duration, origin=estimate.origin, first_block=planned)  # fmt: skip
        terminal.print_json(shown)
        return 0
    print(shlex.join(request.command))
    print(f"{blocks} blocks after one warm-up block, {len(cells)} cells each and the baseline twice")
    print(f"about {format.duration(duration)} ({estimate.origin})")
    for cell in order:
        print(f"  {cell.scenario:12} {cell.environment}")
    return 0


def measured(arguments: argparse.Namespace) -> Outcome:
    """Measure according to these arguments, and write the report. Progress goes to standard error; standard output
    stays empty.

    Raises `Interrupted`, or another `IsobenchError`, each with the document of what was measured."""
    request = _request(arguments)
    progress = measurement.progress(request, quiet=arguments.quiet, verbose=arguments.verbose)
    leftovers.clean(catalog.sweep)
    deadlines.begin(request.timeout)
    try:
        path = measurement.execute(request, progress, wait=arguments.wait)
        from isobench.run.outcome import concluded  # imports pandas: not before the measurement has ended

        return concluded(path, request.max_blocks, _terms(arguments).reports)
    except KeyboardInterrupt:
        raise _interrupted(progress) from None
    except IsobenchError as error:
        error.document = error.document or _begun(progress.writer.path if progress.writer else None)
        raise


def _interrupted(progress: Progress) -> Interrupted:
    """The message of an interrupted run: where its finished blocks are, and how to continue."""
    writer = progress.writer
    if writer is None:
        return Interrupted("interrupted", document=_begun(None))
    blocks = max(0, writer.blocks - 1)
    reason = f"interrupted; {blocks} finished {'block is' if blocks == 1 else 'blocks are'} in {writer.path}"
    report = f"isobench report {shlex.quote(str(writer.path))}"
    return Interrupted(
        reason, remedy=f"continue: {resuming(writer.path)}; report: {report}", document=_begun(writer.path)
    )


def _begun(run: Path | None) -> dict[str, object]:
    """The document of a run that ended early."""
    return {"schema": SCHEMA, "run": str(run) if run else None, "report": {}, "summary": []}


def document(outcome: Outcome) -> dict[str, object]:
    """As `Document` describes it."""
    report = {name: str(file) for name, file in outcome.report.items()}
    summary = [row._asdict() for row in outcome.results.estimates]
    return {**_begun(outcome.path), "report": report, "summary": summary}


def nothing_concluded(outcome: Outcome) -> NothingMeasured:
    """The error of a run from which nothing can be concluded."""
    error = NothingMeasured(outcome.nothing, remedy=f"on a quiet host: {resuming(outcome.path)}")
    error.document = document(outcome)
    return error
