"""isobench clean: remove what dead runs left behind, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import catalog, lifecycle

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")


def run(arguments: argparse.Namespace) -> int:
    done = lifecycle.clean(catalog.sweep, dry_run=arguments.dry_run)
    print("\n".join(done) if done else "nothing to clean")
    return 1 if any(line.startswith("not cleaned") for line in done) else 0
