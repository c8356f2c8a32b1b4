"""The evaluation of a measured night: trend, comparison, report, exports and summary.

`isobench nightly` imports this only after measuring, so that numpy is not in memory meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from isobench.analysis.compare import compare as compare_runs
from isobench.analysis.earlier import earlier
from isobench.analysis.results import load
from isobench.commands import compare
from isobench.commands._night_folder import keep, write
from isobench.core import terminal
from isobench.core.errors import IsobenchError
from isobench.export import openmetrics
from isobench.export.formats import formats
from isobench.layout import format, markdown
from isobench.layout.markdown import escape
from isobench.nights import history, pruning
from isobench.nights.trend import evaluate
from isobench.report import build
from isobench.results import store
from isobench.results.record import machine
from isobench.site.build import build as build_site

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from isobench.analysis.results import Results
    from isobench.nights.trend import Trend
    from isobench.results.record import Session

_MOST_SENTENCES = 1000
"""Sentences in a summary. GitHub refuses a job summary above 1 MiB, and the report below them has at most 64 KiB."""


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


def conclude(folder: Path, arguments: argparse.Namespace, tonight: Results, against: Path | None, show: bool) -> Night:
    """Write everything that a night leaves beside its run, and return what it found."""
    night, runs_folder = Night([], []), arguments.out
    trend = trend_of(night, folder, runs_folder, tonight)
    look(night, runs_folder, tonight)
    other = compared(night, folder, tonight, against, show) if against is not None else None
    page = report(night, folder, tonight, other)
    export(folder, tonight, trend)
    if arguments.keep is not None:
        prune(night, runs_folder, tonight, arguments.keep, show)
    if arguments.site is not None:
        publish(night, runs_folder, arguments.site, arguments.reports)
    summarise(folder, night.sentences(), night.calm(watched=trend.series), page)
    return night


def trend_of(night: Night, folder: Path, runs_folder: Path, tonight: Results) -> Trend:
    """The trend of tonight's machine; other machines in the folder have their own nights."""
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


def look(night: Night, runs_folder: Path, tonight: Results) -> None:
    """Findings from the run's own record: failures, excluded blocks, environments measured the night before."""
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


def compared(night: Night, folder: Path, tonight: Results, against: Path, show: bool) -> Results | None:
    """Compare tonight's run with an earlier one; returns that one, if it can be read."""
    other = None
    try:
        other = load(against)
        found = compare_runs(other, tonight, earlier=earlier([other.run, tonight.run]))
    except IsobenchError as error:  # a missing run must not fail the night, but is not "nothing changed" either
        night.faults.append(f"no comparison with {against}: {error.reason}")
        return other
    keep(folder / "compare.txt", compare.for_terminal(found), show)
    reasons = compare.failing(found, "change")
    if reasons:
        night.news.append(f"the comparison with {against} found changes ({reasons[0]}): see compare.txt")
    elif not found.concludes:
        night.faults.append(f"the comparison with {against} can conclude nothing: see compare.txt")
    return other


def report(night: Night, folder: Path, tonight: Results, other: Results | None) -> str:
    """Write tonight's report, compared with another run if there is one; returns it as Markdown without figures."""
    page = build.page_of(build.make_context(tonight, other))
    try:
        build.write(page, folder)
    except IsobenchError as error:
        night.faults.append(f"no report: {error.reason}")
    return markdown.lay_out(page)


def export(folder: Path, tonight: Results, trend: Trend) -> None:
    """Write every export that this run allows. One that cannot be written is reported and does not fail the night. The
    one for Prometheus includes the trend's new alerts."""
    ours = machine(tonight.session.host_id, tonight.session.fingerprint)
    alerts = [alert for alert in trend.alerts if alert.machine == ours]
    for one in formats().values():
        try:
            own = one is openmetrics.FORMAT
            data = openmetrics.write_night(tonight, alerts, trend.series) if own else one.write(tonight)
            store.write_atomically(folder / f"isobench.{one.suffix}", data)
        except IsobenchError as error:
            terminal.paragraph(f"isobench: no {one.name}: {error.reason}", errors=True)


def prune(night: Night, runs_folder: Path, tonight: Results, kept: int, show: bool) -> None:
    """Remove the values of older runs of tonight's machine."""
    session = tonight.session
    done = pruning.prune(runs_folder, kept, only=machine(session.host_id, session.fingerprint))
    if done.pruned and show:
        freed = format.quantity(sum(one.freed for one in done.pruned), "byte")
        print(f"pruned: {format.count(len(done.pruned), 'run')}, {freed} freed")
    night.faults.extend(f"not pruned: {reason}" for reason in done.failed)


def publish(night: Night, runs_folder: Path, site: Path, reports: Path) -> None:
    """Write the site of all nights, which links to the reports there."""
    try:
        build_site(runs_folder, site, reports)
    except IsobenchError as error:
        night.faults.append(f"no site: {error.reason}")


def summarise(folder: Path, sentences: list[str], calm: str, report: str) -> None:
    """Write the job summary: the night's findings, then the report, whose size is bounded."""
    head = [f"- **{escape(format.clean(line, 600))}**" for line in sentences[:_MOST_SENTENCES]] or [calm]
    if len(sentences) > _MOST_SENTENCES:
        head.append(f"- and {len(sentences) - _MOST_SENTENCES} more")
    write(folder / "summary.md", "\n".join(["## Tonight", "", *head, "", report]))
