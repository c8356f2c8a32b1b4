"""isobench report: write the report of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from isobench.analysis import results
from isobench.core import terminal
from isobench.core.errors import UsageError
from isobench.report.build import render
from isobench.results import runs

if TYPE_CHECKING:
    import argparse

SCHEMA = 1


EXAMPLES = """\
  isobench report                                 the newest run again
  isobench report results/HOST/TIME --format md   a run by its folder
  isobench report before --compare previous       by a label; latest and previous are the newest two
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
    parser.add_argument("run", nargs="?", default=runs.LATEST, metavar=runs.METAVAR, help=f"{runs.HELP} (latest)")
    parser.add_argument("--format", default="html,md", help="html, md or both (html,md)")
    parser.add_argument("--out", type=Path, help="where to write (reports/<host id>/<UTC stamp>/)")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/report.schema.json)")
    parser.add_argument("--compare", metavar=runs.METAVAR, help="a second run to compare with")


def run(arguments: argparse.Namespace) -> int:
    formats = tuple(filter(None, arguments.format.split(",")))
    unknown = [name for name in formats if name not in ("html", "md")]
    if unknown or not formats:
        raise UsageError(f"no report format is called {','.join(unknown)!r}", remedy="--format html,md")
    folder = runs.one(arguments.run)
    other = results.load(runs.one(arguments.compare)) if arguments.compare else None
    written = render(results.load(folder), arguments.out or runs.report_folder(folder), formats, other)
    if arguments.json:
        files = {name: str(path) for name, path in written.items()}
        terminal.print_json(Document(schema=SCHEMA, run=str(folder), report=files))
    else:
        print("\n".join(map(str, written.values())))
    return 0
