"""isobench compare: what got slower or faster from one run to another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import terminal
from bench.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from bench.analysis.compare import Change, Comparison

FAILING = {"slower": ("slower",), "faster": ("faster",), "change": ("slower", "faster")}
"""--fail-on -> the confirmed verdicts that make the exit code 1."""


EXAMPLES = """\
  isobench compare results/HOST/BEFORE results/HOST/AFTER
  isobench compare A B --fail-on slower           a gate: exit 1 where a cost is confirmed to be higher
  isobench compare A B --across-hosts --json      ratios to each run's own baseline, as data
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="a run's folder, before")
    parser.add_argument("b", type=Path, metavar="B", help="a run's folder, after")
    parser.add_argument("--band", type=share, default=0.05, metavar="5%", help="equivalent means within ± this (5%%)")
    parser.add_argument("--across-hosts", action="store_true", help="compare ratios to each run's own baseline")
    parser.add_argument("--fail-on", choices=FAILING, help="exit 1 where one is confirmed")
    parser.add_argument("--json", action="store_true", help="as data (docs/compare.schema.json)")


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
    from bench import store
    from bench.analysis.compare import compare

    a, b = store.load(arguments.a), store.load(arguments.b)
    found = compare(a, b, band=arguments.band, across_hosts=arguments.across_hosts)
    if arguments.json:
        terminal.print_json(found)
    else:
        _print(found)
    failing = [c for c in found.changes if c.confirmed and c.verdict in FAILING.get(arguments.fail_on, ())]
    if failing:
        first = failing[0]
        print(
            f"isobench: {len(failing)} confirmed, the first: {_name(first)} {_ratio(first)}: {first.verdict}",
            file=sys.stderr,
        )
    return 1 if failing else 0


def _print(found: Comparison) -> None:
    from rich.table import Table

    print(f"A {found.a.host_id} {found.a.started}  {found.a.path}")
    print(f"B {found.b.host_id} {found.b.started}  {found.b.path}")
    for key, (before, after) in found.differing.items():
        print(f"  {key}: {before or 'none'} → {after or 'none'}")
    told = [change for change in found.changes if change.verdict in ("slower", "faster")]
    table = Table(title=terminal.cell(f"B against A, {found.compared}"), title_justify="left")
    for name in ("metric", "environment", "A", "B", "B to A [95 %]", "verdict"):
        justify = "left" if name in ("metric", "environment", "verdict") else "right"
        table.add_column(terminal.cell(name), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for change in sorted(told, key=lambda one: -abs(one.ratio - 1)):
        from bench.report import format

        words = change.verdict if change.confirmed else f"{change.verdict}, within the noise"
        values = (format.quantity(change.a, change.unit), format.quantity(change.b, change.unit))
        row = (f"{change.scenario}.{change.metric}", change.environment, *values, _ratio(change), words)
        table.add_row(*map(terminal.cell, row))
    if told:
        terminal.console().print(table)
    count = {word: sum(c.verdict == word for c in found.changes) for word in ("equivalent", "inconclusive")}
    print(
        f"{len(told)} of {len(found.changes)} costs changed, {count['equivalent']} are equivalent within "
        f"±{found.band:.0%}, {count['inconclusive']} inconclusive"
    )
    for run, names in (("A", found.only_in_a), ("B", found.only_in_b)):
        if names:
            print(f"only in {run}: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")


def _name(change: Change) -> str:
    return f"{change.scenario}.{change.metric} in {change.environment}"


def _ratio(change: Change) -> str:
    from bench.report import format

    return format.ratio_interval(change.ratio, change.low, change.high)
