"""isobench report: write the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from isobench.core import terminal
from isobench.core.errors import UsageError

if TYPE_CHECKING:
    import argparse

SCHEMA = 1
RESULTS, REPORTS = Path("results"), Path("reports")


EXAMPLES = """\
  isobench report                                 the newest run again
  isobench report results/HOST/TIME --format md   a run by its folder
  isobench report --compare results/HOST/BEFORE   with a section that compares two runs
"""


class Document(TypedDict):
    """What `isobench report --json` prints: the run's folder, and the report's files by format."""

    schema: int
    run: str
    report: dict[str, str]


def documents() -> dict[str, object]:
    return {"report": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's folder (the newest under results/)")
    parser.add_argument("--format", default="html,md", help="html, md or both (html,md)")
    parser.add_argument("--out", type=Path, help="where to write (reports/<host id>/<UTC stamp>/)")
    parser.add_argument("--json", action="store_true", help="as data (docs/report.schema.json)")
    parser.add_argument("--compare", type=Path, metavar="RUN", help="a second run to compare with")


def run(arguments: argparse.Namespace) -> int:
    from isobench.report.build import render

    formats = tuple(filter(None, arguments.format.split(",")))
    unknown = [name for name in formats if name not in ("html", "md")]
    if unknown or not formats:
        raise UsageError(f"no report format is called {','.join(unknown)!r}", remedy="--format html,md")
    folder = Path(arguments.run) if arguments.run else newest(RESULTS)
    written = render(folder, arguments.out or report_folder(folder), formats, arguments.compare)
    if arguments.json:
        files = {name: str(path) for name, path in written.items()}
        terminal.print_json(Document(schema=SCHEMA, run=str(folder), report=files))
    else:
        print("\n".join(map(str, written.values())))
    return 0


def newest(results: Path) -> Path:
    """The newest run under a results folder. Raises `UsageError` where there is none."""
    from isobench.results.store import find_runs

    runs = list(find_runs(results)) if results.is_dir() else []
    if not runs:
        raise UsageError(f"no run under {results}/", remedy="isobench run")
    return runs[-1]


def report_folder(run: Path) -> Path:
    """reports/<host id>/<UTC stamp>/ for results/<host id>/<UTC stamp>/."""
    run = run.resolve()
    return REPORTS / run.parent.name / run.name
