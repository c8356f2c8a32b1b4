"""isobench nightly: measure, update the trend, and write report and exports into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NotRequired  # noqa: F401 (a field of what Document extends)

from isobench.commands import doctor
from isobench.commands import run as measure
from isobench.commands._night_folder import forget, keep
from isobench.commands._options import add_keep
from isobench.commands.run import SummaryRow  # noqa: F401 (likewise: Python 3.14 looks its type up in this module)
from isobench.core import terminal
from isobench.core.errors import NothingMeasured, UsageError
from isobench.planning import catalog
from isobench.results import runs

if TYPE_CHECKING:
    import argparse

    from isobench.analysis.results import Results
    from isobench.commands._night import Night

EXAMPLES = """\
  isobench nightly --profile quick                doctor, run, trend, report and exports, into nightly/
  isobench nightly --against results/HOST/BASE    with a comparison
"""


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
    parser.add_argument("--site", type=Path, metavar="DIR", help="write the site of all nights there (isobench site)")
    add_keep(parser, "remove the values of all but the newest N runs of this machine (isobench prune)")
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
        forget(folder)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}", remedy="choose another --folder") from error
    show = not arguments.json
    findings = doctor.examine(catalog.select_environments(arguments.environments), arguments.timeout)
    keep(folder / "doctor.txt", doctor.for_terminal(findings), show)
    outcome = _measured(folder, arguments, show)
    night = _concluded(folder, arguments, outcome.results, against, show)
    for line in night.sentences():
        terminal.paragraph(f"isobench: {line}", errors=True)
    if show:
        print(f"nightly: {folder}")
    else:
        terminal.print_json({**outcome.document, "folder": str(folder), **night._asdict()})
    return outcome.exit_code or (1 if night.sentences() else 0)


def _concluded(
    folder: Path, arguments: argparse.Namespace, tonight: Results, against: Path | None, show: bool
) -> Night:
    from isobench.commands import _night  # not before: numpy would be in memory while the night is measured

    return _night.conclude(folder, arguments, tonight, against, show)


class _Outcome(NamedTuple):
    """Tonight's run: its results, its exit code, and its document as `isobench run --json` prints it."""

    results: Results
    exit_code: int
    document: dict[str, object]


def _measured(folder: Path, arguments: argparse.Namespace, show: bool) -> _Outcome:
    """Measure. A run from which nothing can be concluded still counts as a night if it has left a record."""
    try:
        outcome = measure.measured(arguments)
    except NothingMeasured as error:
        path = error.document.get("run")
        if path is None:
            raise
        from isobench.analysis.results import load  # numpy, too

        return _Outcome(load(Path(str(path))), error.exit_code, _without_conclusion(error))
    keep(folder / "run.txt", outcome.words(), show)
    document = _without_conclusion(measure.nothing_concluded(outcome)) if outcome.nothing else measure.document(outcome)
    return _Outcome(outcome.results, outcome.exit_code, document)


def _without_conclusion(error: NothingMeasured) -> dict[str, object]:
    """The document of a run from which nothing can be concluded; its reason is printed at once."""
    terminal.paragraph(f"isobench: {error.reason}", errors=True)
    return {**error.document, "error": error.reason, "remedy": error.remedy, "exit_code": error.exit_code}
