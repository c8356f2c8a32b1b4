"""isobench nightly: doctor, run, trend, report and exports into one folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.commands import compare, doctor
from isobench.commands import run as measure
from isobench.core import terminal
from isobench.core.errors import IsobenchError, NothingMeasured, UsageError
from isobench.results import runs
from isobench.run import catalog

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.console import RenderableType

    from isobench.analysis.results import Results
    from isobench.analysis.trend import Trend
    from isobench.results.record import Session

_MOST_TOLD = 1000
"""Sentences of a summary: GitHub refuses a job summary above 1 MiB, and the report beneath them has 64 KiB at most."""

OWN = ("doctor.txt", "run.txt", "trend.json", "compare.txt", "summary.md")
"""What a night writes beside the report's files and the exports."""

EXAMPLES = """\
  isobench nightly --profile quick                doctor, run, trend, report and exports, into nightly/
  isobench nightly --against results/HOST/BASE    with a comparison
"""


class Night(NamedTuple):
    """What a night has to say, in sentences."""

    news: list[str]
    """What changed: the trend's news, a comparison that found something, environments that are gone."""
    faults: list[str]
    """What went wrong: cells that failed, blocks left out, parts of the night that could not be done."""

    def told(self) -> list[str]:
        return [*self.news, *self.faults]

    def calm(self, *, watched: int) -> str:
        """What is said where there is nothing to tell."""
        if self.told():
            return ""
        return "Nothing changed." if watched else "Nothing is known to have changed: too few nights to tell."


class Document(measure.Document):
    """What `isobench nightly --json` prints: the run's document, the night's folder, and its news and faults."""

    folder: str
    news: list[str]
    faults: list[str]


def documents() -> dict[str, object]:
    return {"nightly": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    measure.configure(parser)
    parser.add_argument("--folder", type=Path, default=Path("nightly"), metavar="DIR", help="output folder (nightly/)")
    parser.add_argument("--against", metavar=runs.METAVAR, help=f"what to compare tonight's run with: {runs.HELP}")


def run(arguments: argparse.Namespace) -> int:
    if arguments.resume is not None:
        raise UsageError("a night is always a new run", remedy="isobench run --resume")
    if arguments.dry_run:
        return measure.run(arguments)
    against = runs.one(arguments.against, arguments.out) if arguments.against else None
    folder: Path = arguments.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _forget(folder)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}", remedy="choose another --folder") from error
    show = not arguments.json
    findings = doctor.examine(catalog.select_environments(arguments.environments), arguments.timeout)
    _keep(folder / "doctor.txt", doctor.told(findings), show)
    outcome = _measured(folder, arguments, show)
    results = outcome.results
    night = Night([], [])
    trend = _trend(night, folder, arguments.out, results)
    _look(night, arguments.out, results)
    other = _compare(night, folder, results, against, show) if against is not None else None
    report = _report(night, folder, results, other)
    _export(folder, results)
    _summarise(folder, night.told(), night.calm(watched=trend.series), report)
    for line in night.told():
        print(f"isobench: {line}", file=sys.stderr)
    if show:
        print(f"nightly: {folder}")
    else:
        terminal.print_json({**outcome.document, "folder": str(folder), **night._asdict()})
    return outcome.exit_code or (1 if night.told() else 0)


class _Outcome(NamedTuple):
    """Of tonight's run: what it gave, its exit code, and its document as `isobench run --json` prints it."""

    results: Results
    exit_code: int
    document: dict[str, object]


def _measured(folder: Path, arguments: argparse.Namespace, show: bool) -> _Outcome:
    """Tonight's run. One that concludes nothing is a night all the same, if it has left a record: the trend says so."""
    from isobench.analysis.results import load

    try:
        outcome = measure.measured(arguments)
    except NothingMeasured as error:
        path = error.document.get("run")
        if path is None:
            raise
        return _Outcome(load(Path(str(path))), error.exit_code, _without_conclusion(error))
    _keep(folder / "run.txt", outcome.told(), show)
    document = _without_conclusion(outcome.error()) if outcome.nothing else outcome.document()
    return _Outcome(outcome.results, outcome.exit_code, document)


def _without_conclusion(error: NothingMeasured) -> dict[str, object]:
    """What is printed as data of a run that concludes nothing; the reason is told at once."""
    print(f"isobench: {error.reason}", file=sys.stderr)
    return {**error.document, "error": error.reason, "remedy": error.remedy, "exit_code": error.exit_code}


def _forget(folder: Path) -> None:
    """Yesterday's night must not be taken for today's. Only what a night writes goes: the folder may hold more."""
    from isobench.export.formats import formats
    from isobench.report.build import FILES

    for name in (*OWN, *FILES.values(), *(f"isobench.{one.suffix}" for one in formats().values())):
        old = folder / name
        if old.is_symlink() or (old.exists() and not old.is_dir()):
            old.unlink()


def _keep(file: Path, words: Sequence[RenderableType], show: bool = True) -> None:
    """Write it down as a pipe would have it, and show it unless data is wanted."""
    _write(file, terminal.text(*words))
    if show:
        terminal.tell(*words)


def _write(file: Path, text: str) -> None:
    """Through no link and into no FIFO: somebody else may write in the folder, too."""
    from isobench.results import store

    store.write_atomically(file, text.encode(errors="backslashreplace"))


def _trend(night: Night, folder: Path, runs_folder: Path, tonight: Results) -> Trend:
    """What the trend of tonight's machine tells; other machines in the folder have nights of their own."""
    import msgspec

    from isobench.analysis import history
    from isobench.analysis.trend import evaluate
    from isobench.results import store
    from isobench.results.record import machine

    session = tonight.session
    ours = machine(session.host_id, session.fingerprint)
    whole = history.read(runs_folder)
    found = whole._replace(nights=[one for one in whole.nights if one.host_id == session.host_id])
    trend = evaluate(found, history.seen(runs_folder, found))
    history.take_note(runs_folder, found, trend, only=ours)
    store.write_atomically(folder / "trend.json", msgspec.json.format(msgspec.json.encode(trend), indent=1))
    night.news.extend(alert.text for alert in trend.alerts if alert.news and alert.machine == ours)
    name = str(tonight.run.path.relative_to(runs_folder))
    if name not in {one.path for one in found.nights}:
        why = next((problem for problem in found.problems if name in problem), "its record is not part of the history")
        night.faults.append(f"tonight's run is in no trend: {why}")
    return trend


def _look(night: Night, runs_folder: Path, tonight: Results) -> None:
    """What the run's own record tells: failures, blocks left out, environments that were there the night before."""
    from isobench.report import format

    session = tonight.session
    measured = [block for block in session.blocks if block.index > 0]
    marked = [block for block in measured if block.marks]
    failed = [failure for failure in session.failures if failure.block > 0]
    if failed:
        first = f"{failed[0].environment}: {failed[0].reason}"
        night.faults.append(f"{format.count(len(failed), 'cell')} failed, the first: {first}")
    if measured and len(marked) == len(measured):
        night.faults.append(f"every block was disturbed and excluded ({marked[0].marks[0]}): nothing can be concluded")
    before = _night_before(runs_folder, tonight.run.path, session)
    skipped = {skip.environment: skip.reason for skip in session.skips if not skip.scenario}
    for name in sorted((before & skipped.keys()) if before else ()):
        night.news.append(f"{name} is gone, which was measured the night before: {skipped[name]}")


def _night_before(runs_folder: Path, path: Path, session: Session) -> set[str]:
    """The environments that were opened in the last run of this machine before this one."""
    from isobench.results import store
    from isobench.results.record import machine

    ours = machine(session.host_id, session.fingerprint)
    for other in reversed(list(store.find_runs(runs_folder))):
        if other == path or other.parent.name != path.parent.name:
            continue
        try:
            earlier = store.load_session(other)
        except IsobenchError:
            continue
        if earlier.started < session.started and machine(earlier.host_id, earlier.fingerprint) == ours:
            return {one.name for one in earlier.environments} - {s.environment for s in earlier.skips if not s.scenario}
    return set()


def _compare(night: Night, folder: Path, tonight: Results, against: Path, show: bool) -> Results | None:
    """Hold tonight's run against an earlier one; gives that one, where it can be read."""
    from isobench.analysis.compare import compare as held_against
    from isobench.analysis.earlier import earlier
    from isobench.analysis.results import load

    other = None
    try:
        other = load(against)
        found = held_against(other, tonight, earlier=earlier([other.run, tonight.run]))
    except IsobenchError as error:  # a run that is gone must not cost the night, but is no "nothing changed" either
        night.faults.append(f"no comparison with {against}: {error.reason}")
        return other
    _keep(folder / "compare.txt", compare.told(found), show)
    reasons = compare.failing(found, "change")
    if reasons:
        night.news.append(f"a comparison with {against} has found changes ({reasons[0]}): compare.txt")
    return other


def _report(night: Night, folder: Path, tonight: Results, other: Results | None) -> str:
    """Tonight's report, compared with another run's where there is one; gives it in Markdown, without its drawings."""
    from isobench.report import build, markdown

    page = build.page_of(build.make_context(tonight, other))
    try:
        build.write(page, folder)
    except IsobenchError as error:
        night.faults.append(f"no report: {error.reason}")
    return markdown.lay_out(page)


def _export(folder: Path, tonight: Results) -> None:
    from isobench.export.formats import formats
    from isobench.results import store

    for one in formats().values():
        try:
            store.write_atomically(folder / f"isobench.{one.suffix}", one.write(tonight))
        except IsobenchError as error:
            print(f"isobench: no {one.name}: {error.reason}", file=sys.stderr)


def _summarise(folder: Path, told: list[str], calm: str, report: str) -> None:
    """What a job summary shows: what the night has to say, then the report, which is bounded by itself."""
    from isobench.report import format
    from isobench.report.markdown import escape

    head = [f"- **{escape(format.clean(line, 600))}**" for line in told[:_MOST_TOLD]] or [calm]
    if len(told) > _MOST_TOLD:
        head.append(f"- and {len(told) - _MOST_TOLD} more")
    _write(folder / "summary.md", "\n".join(["## Tonight", "", *head, "", report]))
