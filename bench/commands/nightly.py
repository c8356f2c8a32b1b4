"""isobench nightly: measure, update the trend, and write report and exports into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.commands import doctor
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

_MOST_SENTENCES = 1000
"""Sentences in a summary. GitHub refuses a job summary above 1 MiB, and the report below them has at most 64 KiB."""

OWN = ("doctor.txt", "run.txt", "trend.json", "compare.txt", "summary.md")
"""The files of a night, besides the report's files and the exports."""

_MARK = ".isobench-night"
"""In a folder whose files are those of a night."""

EXAMPLES = """\
  isobench nightly --profile quick                doctor, run, trend, report and exports, into nightly/
  isobench nightly --against results/HOST/BASE    with a comparison
"""


class Night(NamedTuple):
    """The findings of a night, in sentences."""

    news: list[str]
    """What changed: new alerts of the trend, changes found by the comparison, environments that are gone."""
    faults: list[str]
    """What went wrong: cells that failed, excluded blocks, steps of the night that failed."""

    def sentences(self) -> list[str]:
        return [*self.news, *self.faults]

    def calm(self, *, watched: int) -> str:
        """The sentence for a night without findings; empty if there are any."""
        if self.sentences():
            return ""
        return "Nothing changed." if watched else "No change is known: there are too few nights to detect one."


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
    _keep(folder / "doctor.txt", doctor.for_terminal(findings), show)
    outcome = _measured(folder, arguments, show)
    results = outcome.results
    night = Night([], [])
    trend = _trend(night, folder, arguments.out, results)
    _look(night, arguments.out, results)
    other = _compare(night, folder, results, against, show) if against is not None else None
    report = _report(night, folder, results, other)
    _export(folder, results)
    _summarise(folder, night.sentences(), night.calm(watched=trend.series), report)
    for line in night.sentences():
        terminal.paragraph(f"isobench: {line}", errors=True)
    if show:
        print(f"nightly: {folder}")
    else:
        terminal.print_json({**outcome.document, "folder": str(folder), **night._asdict()})
    return outcome.exit_code or (1 if night.sentences() else 0)


class _Outcome(NamedTuple):
    """Tonight's run: its results, its exit code, and its document as `isobench run --json` prints it."""

    results: Results
    exit_code: int
    document: dict[str, object]


def _measured(folder: Path, arguments: argparse.Namespace, show: bool) -> _Outcome:
    """Measure. A run from which nothing can be concluded still counts as a night if it has left a record."""
    from isobench.analysis.results import load

    try:
        outcome = measure.measured(arguments)
    except NothingMeasured as error:
        path = error.document.get("run")
        if path is None:
            raise
        return _Outcome(load(Path(str(path))), error.exit_code, _without_conclusion(error))
    _keep(folder / "run.txt", measure.for_terminal(outcome), show)
    document = _without_conclusion(measure.nothing_concluded(outcome)) if outcome.nothing else measure.document(outcome)
    return _Outcome(outcome.results, outcome.exit_code, document)


def _without_conclusion(error: NothingMeasured) -> dict[str, object]:
    """The document of a run from which nothing can be concluded; its reason is printed at once."""
    terminal.paragraph(f"isobench: {error.reason}", errors=True)
    return {**error.document, "error": error.reason, "remedy": error.remedy, "exit_code": error.exit_code}


def _forget(folder: Path) -> None:
    """Remove the files of an earlier night, and no others: the folder may contain more.

    Raises `UsageError` if no night was written there and one of these names is taken: that file would be lost.
    """
    from isobench.export.formats import formats
    from isobench.report.build import FILES

    names = (*OWN, *FILES.values(), *(f"isobench.{one.suffix}" for one in formats().values()))
    found = [old for old in map(folder.joinpath, names) if old.is_symlink() or (old.exists() and not old.is_dir())]
    mark = folder / _MARK
    if found and not mark.exists():
        reason = f"{found[0]} is already there, and no night of isobench is"
        raise UsageError(reason, remedy=f"choose another --folder, or remove it; for a night's folder: touch {mark}")
    _write(mark, "A night of isobench: its files here are removed when the next one begins.\n")
    for old in found:
        old.unlink()


def _keep(file: Path, words: Sequence[RenderableType], show: bool = True) -> None:
    """Write it to a file, as to a pipe, and show it unless data is wanted."""
    _write(file, terminal.text(*words))
    if show:
        terminal.tell(*words)


def _write(file: Path, text: str) -> None:
    """Write a file, never through a link or into a FIFO: others may be able to write to the folder."""
    from isobench.results import store

    store.write_atomically(file, text.encode(errors="backslashreplace"))


def _trend(night: Night, folder: Path, runs_folder: Path, tonight: Results) -> Trend:
    """The trend of tonight's machine; other machines in the folder have their own nights."""
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
    """Findings from the run's own record: failures, excluded blocks, environments measured the night before."""
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
        night.news.append(f"{name} was measured the night before and is unavailable tonight: {skipped[name]}")


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
    """Compare tonight's run with an earlier one; returns that one, if it can be read."""
    from isobench.analysis.compare import compare as compare_runs
    from isobench.analysis.earlier import earlier
    from isobench.analysis.results import load
    from isobench.commands import compare  # not before: numpy would be in memory while the night is measured

    other = None
    try:
        other = load(against)
        found = compare_runs(other, tonight, earlier=earlier([other.run, tonight.run]))
    except IsobenchError as error:  # a missing run must not fail the night, but is not "nothing changed" either
        night.faults.append(f"no comparison with {against}: {error.reason}")
        return other
    _keep(folder / "compare.txt", compare.for_terminal(found), show)
    reasons = compare.failing(found, "change")
    if reasons:
        night.news.append(f"the comparison with {against} found changes ({reasons[0]}): see compare.txt")
    elif not found.concludes:
        night.faults.append(f"the comparison with {against} can conclude nothing: see compare.txt")
    return other


def _report(night: Night, folder: Path, tonight: Results, other: Results | None) -> str:
    """Write tonight's report, compared with another run if there is one; returns it as Markdown without figures."""
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
            terminal.paragraph(f"isobench: no {one.name}: {error.reason}", errors=True)


def _summarise(folder: Path, sentences: list[str], calm: str, report: str) -> None:
    """Write the job summary: the night's findings, then the report, whose size is bounded."""
    from isobench.report import format
    from isobench.report.markdown import escape

    head = [f"- **{escape(format.clean(line, 600))}**" for line in sentences[:_MOST_SENTENCES]] or [calm]
    if len(sentences) > _MOST_SENTENCES:
        head.append(f"- and {len(sentences) - _MOST_SENTENCES} more")
    _write(folder / "summary.md", "\n".join(["## Tonight", "", *head, "", report]))
