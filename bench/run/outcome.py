"""The outcome of a run: its results, its report, whether anything can be concluded, and whether it is complete."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis import results
from isobench.core.errors import NothingMeasured
from isobench.estimation.paired import FEWEST_PAIRS
from isobench.planning.resume import resuming
from isobench.report.build import render
from isobench.results.record import COMPLETE, ENDED_BECAUSE
from isobench.run.closing import last_words

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from isobench.analysis.results import Results
    from isobench.results.record import FailureRecord, Session


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

    def words(self) -> list[RenderableType]:
        """For a terminal: the verdicts, and the paths of the files."""
        files = [f"results: {self.path}", *(f"report:  {file}" for file in self.report.values())]
        return [*last_words(self.results), *filter(None, [self.unfinished]), *files]


def concluded(path: Path, wanted: int, reports: Path | None) -> Outcome:
    """Load a run of so many blocks from disk, and write its report unless `reports` is None."""
    found = results.load(path)
    written = {} if reports is None else render(found, reports / path.parent.name / path.name)
    nothing = _nothing_concluded(found.session, wanted)
    return Outcome(found, written, nothing, "" if nothing else _unfinished(found, wanted))


def _nothing_concluded(session: Session, wanted: int) -> str:
    """Why nothing can be concluded; empty if something can."""
    used = session.blocks_used
    if used >= min(wanted, FEWEST_PAIRS):
        return ""
    marks = Counter(words for block in session.blocks for words in map(_without_figure, block.marks))
    others = f"were disturbed, because {marks.most_common(1)[0][0]}" if marks else "are missing"
    return f"nothing can be concluded from {used} of {wanted} blocks: the others {others}"


def _without_figure(mark: str) -> str:
    return mark.partition(" (")[0]


def _unfinished(found: Results, wanted: int) -> str:
    """Why a run ended before its plan was complete, and how to continue; empty if it is complete."""
    session = found.session
    if session.stopped in COMPLETE:
        return ""
    why = ENDED_BECAUSE.get(session.stopped, session.stopped)
    return f"ended after {session.blocks_used} of {wanted} blocks, because {why}; continue: {resuming(found.run.path)}"
