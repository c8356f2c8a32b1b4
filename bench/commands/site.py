"""isobench site: write static pages about all hosts, runs and nights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from isobench.core import terminal
from isobench.core.errors import IsobenchError, UsageError
from isobench.layout import format
from isobench.layout.page import FILES
from isobench.nights import history
from isobench.nights.trend import by_machine
from isobench.report.build import render
from isobench.results.runs import REPORTS, RESULTS
from isobench.site.build import build

if TYPE_CHECKING:
    import argparse

    from isobench.site.build import Built

SCHEMA = 1
EXAMPLES = """\
  isobench site                                   pages about results/, into site/
  isobench site /var/lib/isobench/results --out /var/www/isobench
  isobench site --write-reports                   and the newest report of each host that has none, as those of a fleet
"""


class MachineRow(TypedDict):
    """One machine: a host id and its hardware. `page` is its page, `news` what its newest run confirmed, `gone` the
    environments of the previous run that the newest lacks."""

    host_id: str
    hardware: str
    page: str
    nights: int
    newest: str
    news: list[str]
    gone: list[str]


class Document(TypedDict):
    """What `isobench site --json` prints. `written` counts new and changed files; `problems` are runs that were left
    out, with the reason."""

    schema: int
    site: str
    pages: int
    written: int
    nights: int
    machines: list[MachineRow]
    problems: list[str]


def documents() -> dict[str, object]:
    return {"site": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS, help="results folder (results/)")
    parser.add_argument("--out", type=Path, default=Path("site"), metavar="DIR", help="where to write (site/)")
    parser.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR", help="the runs' reports (reports/)")
    newest = "also write the report of each host's newest run where there is none"
    parser.add_argument("--write-reports", action="store_true", help=newest)
    parser.add_argument("--json", action="store_true", help="as JSON (docs/site.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.results.is_dir():
        raise UsageError(f"{arguments.results} is not a folder", remedy="isobench run creates it")
    without = _write_reports(arguments.results, arguments.reports) if arguments.write_reports else []
    built = build(arguments.results, arguments.out, arguments.reports)
    built = built._replace(problems=[*built.problems, *without])
    if arguments.json:
        terminal.print_json(_document(built))
    else:
        _print(built)
    return 0


def _write_reports(results: Path, reports: Path) -> list[str]:
    """The reports of each machine's newest run that are not there; returns those that cannot be written, and why."""
    problems = []
    for nights in by_machine(history.read(results).nights).values():
        name = nights[-1].path
        if (reports / name / FILES["html"]).exists():
            continue
        try:
            render(results / name, reports / name, ("html",))
        except IsobenchError as error:
            problems.append(f"{name} has no report: {error.reason}")
    return problems


def _document(built: Built) -> Document:
    folder = built.page.parent
    machines = [
        MachineRow(
            host_id=one.host_id,
            hardware=one.hardware,
            page=str(folder / "hosts" / one.folder / "index.html"),
            nights=one.runs,
            newest=one.newest,
            news=[alert.text for alert in one.news],
            gone=one.gone,
        )
        for one in built.machines
    ]
    return Document(
        schema=SCHEMA,
        site=str(built.page),
        pages=built.pages,
        written=built.written,
        nights=built.runs,
        machines=machines,
        problems=built.problems,
    )


def _print(built: Built) -> None:
    for problem in built.problems:
        terminal.paragraph(f"isobench: left out: {problem}", errors=True)
    for one in built.machines:
        for alert in one.news:
            terminal.paragraph(f"new: {alert.text} ({one.host_id})", indent=2)
    runs, hosts = format.count(built.runs, "run"), format.count(len(built.machines), "host")
    print(f"{runs} of {hosts}, {format.count(built.pages, 'page')}, {format.count(built.written, 'file')} written")
    print(built.page)
