"""isobench trend: show what has changed over a host's runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core import terminal
from isobench.core.errors import UsageError
from isobench.nights import history
from isobench.nights.trend import FEWEST, Trend, evaluate
from isobench.results.runs import RESULTS

if TYPE_CHECKING:
    import argparse

    from isobench.nights.trend import Trend


EXAMPLES = """\
  isobench trend                                  what changed in results/
  isobench trend /var/lib/isobench/results --fail-on change
"""


def documents() -> dict[str, object]:
    return {"trend": Trend}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS, help="results folder (results/)")
    parser.add_argument("--fail-on", choices=["change"], help="exit 1 if there are new alerts")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/trend.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.results.is_dir():
        raise UsageError(f"{arguments.results} is not a folder", remedy="isobench run creates it")
    found = history.read(arguments.results)
    trend = evaluate(found, history.seen(arguments.results, found))
    history.take_note(arguments.results, found, trend)
    if arguments.json:
        terminal.print_json(trend)
    else:
        _print(trend)
    return 1 if arguments.fail_on and any(alert.news for alert in trend.alerts) else 0


def _print(trend: Trend) -> None:
    for problem in trend.problems:
        terminal.paragraph(f"isobench: ignored: {problem}", errors=True)
    hosts = f"{len(trend.hosts)} host{'s' if len(trend.hosts) != 1 else ''}"
    runs = f"{trend.nights} run{'s' if trend.nights != 1 else ''}"
    terminal.paragraph(f"{runs} of {hosts}, {trend.series} series watched")
    for alert in trend.alerts:
        unseen = ", not reported before" if alert.news and alert.state != "new" else ""
        terminal.paragraph(f"{alert.state}{unseen}: {alert.text} ({alert.host_id})", indent=2)
    if not trend.series:
        terminal.paragraph(f"a series is watched once one machine has {FEWEST} runs with that cost")
    elif not any(alert.news for alert in trend.alerts):
        print("nothing new")
