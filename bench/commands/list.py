"""isobench list: the catalogue, explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import catalog

if TYPE_CHECKING:
    import argparse


EXAMPLES = """\
  isobench list environments                      every rung: what it adds, what it is compared with
  isobench list scenarios
  isobench list metrics --json                    as data
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("environments", "scenarios", "metrics"))
    parser.add_argument("--json", action="store_true", help="data that a program can read")


def run(arguments: argparse.Namespace) -> int:
    rows = {"environments": _environments, "scenarios": _scenarios, "metrics": _metrics}[arguments.what]()
    if arguments.json:
        from bench import terminal

        terminal.print_json(rows)
    else:
        _print(rows)
    return 0


def _environments() -> list[dict[str, object]]:
    return [
        {
            "name": e.name,
            "title": e.title,
            "adds": e.adds,
            "compared with": e.compared_with or "",
            "single factor": e.single_factor,
            "groups": ",".join(sorted(e.groups)),
        }
        for e in catalog.environments().values()
    ]


def _scenarios() -> list[dict[str, object]]:
    return [
        {
            "name": s.name,
            "title": s.title,
            "metrics": len(s.metrics),
            "needs": ",".join(sorted(s.needs)),
            "groups": ",".join(sorted(s.groups)),
        }
        for s in catalog.scenarios().values()
    ]


def _metrics() -> list[dict[str, object]]:
    return [
        {"name": f"{s.name}.{m.name}", "unit": m.unit, "meaning": m.meaning}
        for s in catalog.scenarios().values()
        for m in s.metrics
    ]


def _print(rows: list[dict[str, object]]) -> None:
    """A plain table: the columns as wide as their words, the last one free."""
    table = [
        list(rows[0]),
        *([("yes" if v is True else "" if v is False else str(v)) for v in row.values()] for row in rows),
    ]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
