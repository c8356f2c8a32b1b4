"""isobench clean: remove what dead runs left behind, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import catalog, lifecycle, terminal

if TYPE_CHECKING:
    import argparse


EXAMPLES = """\
  isobench clean --dry-run                        what a dead run left behind
  isobench clean                                  remove it
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="the lines as data")


def run(arguments: argparse.Namespace) -> int:
    from bench.daemons import private

    done = lifecycle.clean(catalog.sweep, dry_run=arguments.dry_run)
    done += private.clean(dry_run=arguments.dry_run)
    if arguments.json:
        terminal.print_json(done)
    else:
        print("\n".join(done) if done else "nothing to clean")
    return 1 if any(line.startswith("not cleaned") for line in done) else 0
