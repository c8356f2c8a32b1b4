"""isobench nightly: doctor, run, trend, report and exports into one folder; the exit code says whether to look."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.commands import compare, doctor
from isobench.commands import run as measure
from isobench.core import terminal
from isobench.core.errors import IsobenchError, NothingMeasured, UsageError
from isobench.filesystem.files import read_regular
from isobench.results import runs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from isobench.analysis.trend import Trend
    from isobench.results.record import Session

SUMMARY_LIMIT = 900_000
"""Bytes of summary.md; GitHub refuses a job summary above 1 MiB."""

_MOST_READ = 1 << 28
"""Bytes of a text of a night that are read again."""

OWN = ("doctor.txt", "run.txt", "trend.json", "compare.txt", "summary.md")
"""What a night writes beside the report's files and the exports."""

EXAMPLES = """\
  isobench nightly --profile quick                tonight's run and all that follows from it, into nightly/
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
    parser.add_argument("--folder", type=Path, default=Path("nightly"), metavar="DIR", help="where all goes (nightly/)")
    parser.add_argument("--against", metavar=runs.METAVAR, help=f"what to compare tonight's run with: {runs.HELP}")


def run(arguments: argparse.Namespace) -> int:
    if arguments.resume is not None:
        raise UsageError("a night is measured anew", remedy="isobench run --resume")
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
    _kept(folder / "doctor.txt", lambda: doctor.run(_parsed(doctor, _doctor_words(arguments))), show)
    outcome = _measured(folder, arguments, show)
    if outcome.path is None:
        raise NothingMeasured(outcome.reason)
    night = Night([], [])
    trend = _trend(night, folder, arguments.out, outcome.path)
    _look(night, arguments.out, outcome.path)
    if against is not None:
        _compare(night, folder, outcome.path, against, show)
    _report(night, folder, outcome.path, against)
    _export(night, folder, outcome.path)
    _summarise(folder, night.told(), night.calm(watched=trend.series if trend else 0))
    for line in (*night.news, *night.faults):
        print(f"isobench: {line}", file=sys.stderr)
    if show:
        print(f"nightly: {folder}")
    else:
        terminal.print_json({**outcome.document, "folder": str(folder), **night._asdict()})
    return outcome.code or (1 if night.news or night.faults else 0)


class _Outcome(NamedTuple):
    """Of tonight's run: its exit code, its folder where it has one, what it printed as data, why it gave nothing."""

    code: int
    path: Path | None
    document: dict[str, object]
    reason: str


def _measured(folder: Path, arguments: argparse.Namespace, show: bool) -> _Outcome:
    """Tonight's run. One that concludes nothing is a night all the same, if it has left a record: the trend says so."""
    from isobench.results.store import find_runs

    before = set(find_runs(arguments.out)) if arguments.out.is_dir() else set()
    reason, code = "", 0
    document: dict[str, object] = {}
    try:
        code = _kept(folder / "run.txt", lambda: measure.run(arguments), show)
    except NothingMeasured as error:
        reason, code = error.reason, error.exit_code
        document = {**error.document, "error": reason, "remedy": error.remedy, "exit_code": code}
        print(f"isobench: {reason}", file=sys.stderr)
    fresh = [path for path in find_runs(arguments.out) if path not in before] if arguments.out.is_dir() else []
    path = next((path for path in reversed(fresh) if _is_of_this_host(path)), None)
    if arguments.json and not document:
        with contextlib.suppress(ValueError, OSError):
            document = json.loads(read_regular(folder / "run.txt", _MOST_READ, follow=False))
    return _Outcome(code, path, document, reason or f"tonight's run is not in {arguments.out}")


def _is_of_this_host(path: Path) -> bool:
    """Whether a run that came meanwhile is tonight's: other hosts may write into the same folder."""
    from isobench.host import machine

    return path.parent.name == machine.host_id()


def _doctor_words(arguments: argparse.Namespace) -> list[str]:
    words = ["-e", arguments.environments]
    return words if arguments.timeout is None else [*words, "--timeout", f"{arguments.timeout:g}"]


def _forget(folder: Path) -> None:
    """Yesterday's night must not be taken for today's. Only what a night writes goes: the folder may hold more."""
    from isobench.export.formats import formats
    from isobench.report.build import FILES

    for name in (*OWN, *FILES.values(), *(f"isobench.{one.suffix}" for one in formats().values())):
        old = folder / name
        if old.is_symlink() or (old.exists() and not old.is_dir()):
            old.unlink()


def _kept(file: Path, command: Callable[[], int], show: bool = True) -> int:
    """Run a command with its standard output kept in a file, and shown unless data is wanted."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            return command()
    finally:
        _write(file, output.getvalue())
        if show:
            terminal.say(output.getvalue())


def _write(file: Path, text: str) -> None:
    """Through no link and into no FIFO: somebody else may write in the folder, too."""
    from isobench.results import store

    store.write_atomically(file, text.encode(errors="backslashreplace"))


def _parsed(command: object, words: list[str]) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser()
    command.configure(parser)  # type: ignore[attr-defined]
    return parser.parse_args(words)


def _trend(night: Night, folder: Path, results: Path, path: Path) -> Trend | None:
    """What the trend of tonight's machine tells; other machines in the folder have nights of their own."""
    import msgspec

    from isobench.analysis import history
    from isobench.analysis.trend import evaluate
    from isobench.results import store
    from isobench.results.record import machine

    session = store.load_session(path)
    ours = machine(session.host_id, session.fingerprint)
    whole = history.read(results)
    found = whole._replace(nights=[one for one in whole.nights if one.host_id == session.host_id])
    trend = evaluate(found, history.seen(results, found))
    history.take_note(results, found, trend, only=ours)
    store.write_atomically(folder / "trend.json", msgspec.json.format(msgspec.json.encode(trend), indent=1))
    night.news.extend(alert.text for alert in trend.alerts if alert.news and alert.machine == ours)
    name = str(path.relative_to(results))
    if name not in {one.path for one in found.nights}:
        why = next((problem for problem in found.problems if name in problem), "its record is no part of the history")
        night.faults.append(f"tonight's run is in no trend: {why}")
    return trend


def _look(night: Night, results: Path, path: Path) -> None:
    """What the run's own record tells: failures, blocks left out, environments that were there the night before."""
    from isobench.report import format
    from isobench.results import store

    session = store.load_session(path)
    measured = [block for block in session.blocks if block.index > 0]
    marked = [block for block in measured if block.marks]
    failed = [failure for failure in session.failures if failure.block > 0]
    if failed:
        first = f"{failed[0].environment}: {failed[0].reason}"
        night.faults.append(f"{format.count(len(failed), 'cell')} failed, the first: {first}")
    if measured and len(marked) == len(measured):
        night.faults.append(f"every block was disturbed and is left out ({marked[0].marks[0]}): nothing is concluded")
    before = _night_before(results, path, session)
    skipped = {skip.environment: skip.reason for skip in session.skips if not skip.scenario}
    for name in sorted((before & skipped.keys()) if before else ()):
        night.news.append(f"{name} is gone, which was measured the night before: {skipped[name]}")


def _night_before(results: Path, path: Path, session: Session) -> set[str]:
    """The environments that were opened in the last run of this machine before this one."""
    from isobench.results import store
    from isobench.results.record import machine

    ours = machine(session.host_id, session.fingerprint)
    for other in reversed(list(store.find_runs(results))):
        if other == path or other.parent.name != path.parent.name:
            continue
        try:
            earlier = store.load_session(other)
        except IsobenchError:
            continue
        if earlier.started < session.started and machine(earlier.host_id, earlier.fingerprint) == ours:
            return {one.name for one in earlier.environments} - {s.environment for s in earlier.skips if not s.scenario}
    return set()


def _compare(night: Night, folder: Path, path: Path, against: Path, show: bool) -> None:
    words = [str(against), str(path), "--fail-on", "change"]
    try:
        if _kept(folder / "compare.txt", lambda: compare.run(_parsed(compare, words)), show):
            night.news.append(f"a comparison with {against} has found changes: compare.txt")
    except IsobenchError as error:  # a run that is gone must not cost the night, but is no "nothing changed" either
        night.faults.append(f"no comparison with {against}: {error.reason}")


def _report(night: Night, folder: Path, path: Path, against: Path | None) -> None:
    from isobench.analysis.results import load
    from isobench.report.build import render

    for other in dict.fromkeys((against, None)):
        try:
            render(load(path), folder, compare_with=load(other) if other else None)
            return
        except IsobenchError as error:
            reason = error.reason
    night.faults.append(f"no report: {reason}")


def _export(night: Night, folder: Path, path: Path) -> None:
    from isobench.analysis import results
    from isobench.export.formats import formats
    from isobench.results import store

    loaded = results.load(path)
    for one in formats().values():
        try:
            store.write_atomically(folder / f"isobench.{one.suffix}", one.write(loaded))
        except IsobenchError as error:
            print(f"isobench: no {one.name}: {error.reason}", file=sys.stderr)


def _summarise(folder: Path, told: list[str], calm: str = "") -> None:
    """What a job summary shows: what the night has to say, then the report without its drawings (a summary has no
    files beside it), cut between lines where it is too long."""
    from isobench.report import format
    from isobench.report.markdown import escape

    head = [f"- **{escape(format.clean(line, 600))}**" for line in told] or [calm]
    rest: list[str] = []
    with contextlib.suppress(OSError):  # there is none, or somebody laid something else there
        rest = read_regular(folder / "report.md", _MOST_READ, follow=False).decode(errors="replace").splitlines()
    text, size = [], 0
    for line in ["## Tonight", "", *head, "", *(line for line in rest if not line.startswith("!["))]:
        size += len(line.encode()) + 1
        if size > SUMMARY_LIMIT:
            text.append("… cut; report.md has the rest.")
            break
        text.append(line)
    _write(folder / "summary.md", "\n".join(text) + "\n")
