"""isobench compare: show what became slower or faster between two runs, and gate on it."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.analysis import results
from isobench.analysis.compare import Comparison, compare
from isobench.analysis.earlier import earlier
from isobench.core import display, terminal
from isobench.core.errors import NothingMeasured, UsageError
from isobench.core.text import clean
from isobench.layout import format
from isobench.layout.markdown import escape
from isobench.report import compared
from isobench.results import runs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.console import RenderableType

    from isobench.analysis.compare import Change, Comparison, RunName
    from isobench.analysis.results import Results

FAILING = {
    "slower": ("slower", "more"),
    "faster": ("faster", "less"),
    "change": ("slower", "more", "faster", "less"),
}
"""--fail-on -> the verdicts on environments for which the exit code is 1. With each of them, a cost that is missing
from B or has too few blocks there also counts, because it can no longer be checked; with `change` a new cost counts,
too."""


EXAMPLES = """\
  isobench compare results/HOST/BEFORE results/HOST/AFTER
  isobench compare A1,A2,A3 B1,B2,B3              several runs of each: detects smaller changes
  isobench compare previous latest                the newest two
  isobench compare before after                   by label or tag: all runs that have it
  isobench compare A B --fail-on slower           a gate: exit 1 if a cost is higher or missing
  isobench compare A B --filter 'startup.*/docker*' --markdown
  isobench compare A B --across-hosts --json      ratios to each run's own baseline, as JSON
"""


def documents() -> dict[str, object]:
    return {"compare": Comparison}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A[,A2…]", help=f"before: {runs.HELP}, or several of them")
    parser.add_argument("b", metavar="B[,B2…]", help="after: the same")
    parser.add_argument("--band", type=share, default=0.05, metavar="5%", help="equivalent: 1/1.05 to 1.05 times (5%%)")
    parser.add_argument("--across-hosts", action="store_true", help="compare ratios to each run's own baseline")
    parser.add_argument("--filter", action="append", metavar="PATTERN", help="only these, as in 'startup.*/docker*'")
    parser.add_argument("--fail-on", choices=FAILING, help="exit 1 if one is found, or a cost is missing")
    parser.add_argument("--markdown", action="store_true", help="as Markdown, for a pull request")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/compare.schema.json)")


def folders(text: str) -> list[Path]:
    """The folders of one side: a run, all runs with a label or tag, or several of these separated by commas."""
    if "," not in text or os.path.exists(text):  # noqa: PTH110 (Path's raises for a text that is too long for a name)
        return runs.several(text)
    return list(dict.fromkeys(path for part in text.split(",") if part for path in runs.several(part)))


def share(text: str) -> float:
    """5% or 0.05 as 0.05."""
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1
    if not 0 < number < 1:
        raise UsageError(f"{text!r} is not a share", remedy="5% or 0.05")
    return number


def run(arguments: argparse.Namespace) -> int:
    patterns = arguments.filter or ["*"]
    a, b = _load(folders(arguments.a)), _load(folders(arguments.b))
    found = compare(
        a,
        b,
        earlier=earlier([one.run for one in (*a, *b)]),
        band=arguments.band,
        across_hosts=arguments.across_hosts,
        wanted=lambda benchmark: any(fnmatchcase(benchmark, pattern) for pattern in patterns),
    )
    if arguments.json:
        terminal.print_json(found)
    elif arguments.markdown:
        _print_markdown(found)
    else:
        display.tell(*for_terminal(found))
    reasons = failing(found, arguments.fail_on) if arguments.fail_on else []
    if reasons:
        terminal.paragraph(
            f"isobench: {len(reasons)} for --fail-on {arguments.fail_on}, the first: {reasons[0]}", errors=True
        )
        return 1
    if arguments.fail_on and not found.concludes:
        terminal.paragraph(
            "isobench: no cost of an environment can be compared, so nothing can be concluded", errors=True
        )
        return NothingMeasured.exit_code
    return 0


def failing(found: Comparison, gate: str) -> list[str]:
    """Why the gate fires: first changes, the largest first, then costs that are gone, lost or new. If nothing at all
    can be compared, no single cost counts as lost."""
    changes = [one for one in found.changed() if one.verdict in FAILING[gate]]
    reasons = [f"{one.benchmark} {_ratio(one, found.band)}: {one.verdict}" for one in changes]
    new = set(found.only_in_b)
    reasons += [f"{name} {'has another unit' if name in new else 'is gone'}" for name in found.only_in_a]
    if found.concludes:
        reasons += [f"{name} can no longer be compared" for name in found.lost]
    return reasons + [f"{name} is new" for name in sorted(new.difference(found.only_in_a)) if gate == "change"]


def _load(paths: Sequence[Path]) -> list[Results]:
    if not paths:
        raise UsageError("no folder is named", remedy="a run's folder, or several separated by commas")
    return [results.load(path) for path in paths]


_COLUMNS = ("metric", "environment", "A", "B", "B to A [95 %]", "verdict")


def for_terminal(found: Comparison) -> list[RenderableType]:
    """For a terminal: the runs, a table for each kind of change, and the conclusion in sentences."""
    words = ("metric", "environment", "verdict")
    columns = [display.Column(name, "left" if name in words else "right", "[" in name) for name in _COLUMNS]
    tables = [display.Listing(columns, [_row(change, found.band) for change in changes], title)
              for title, changes in compared.groups(found)]  # fmt: skip
    return [*_head(found), *tables, *compared.sentences(found)]


def _print_markdown(found: Comparison) -> None:
    lines = ["### isobench compare", "", *(f"- {escape(line.strip())}" for line in _head(found)), ""]
    for title, changes in compared.groups(found):
        rows: list[tuple[str, ...]] = [_COLUMNS, ("---", "---", "---:", "---:", "---:", "---")]
        rows += [tuple(escape(word) for word in _row(change, found.band)) for change in changes]
        lines += [f"**{title}**", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    lines += [f"- {escape(line)}" for line in compared.sentences(found)]
    print("\n".join(lines))


def _head(found: Comparison) -> list[str]:
    lines = [f"{side} {run.host_id} {run.started}  {run.path}{_more(run)}"
             for side, runs in (("A", found.a), ("B", found.b)) for run in runs]  # fmt: skip
    lines += [f"  {key}: {before or 'none'} → {after or 'none'}" for key, (before, after) in found.differing.items()]
    return lines


def _more(run: RunName) -> str:
    return (f"  {clean(run.label)}" if run.label else "") + (f"  (pruned on {run.pruned[:10]})" if run.pruned else "")


def _row(change: Change, band: float) -> tuple[str, ...]:
    values = (format.quantity(change.a, change.unit), format.quantity(change.b, change.unit))
    ratio = _ratio(change, band)
    return (f"{change.scenario}.{change.metric}", change.environment, *values, ratio, change.verdict)


def _ratio(change: Change, band: float) -> str:
    return format.ratio_interval(*change.interval, band)
