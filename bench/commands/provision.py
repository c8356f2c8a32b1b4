"""isobench provision: install what is missing, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be installed, and change nothing")
    parser.add_argument("--for-tests", action="store_true", help="and what the tests check against")


def run(arguments: argparse.Namespace) -> int:
    from bench import provision

    provision.provision(dry_run=arguments.dry_run, for_tests=arguments.for_tests)
    return 0
