"""isobench provision: install what is missing, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be installed, and change nothing")


def run(arguments: argparse.Namespace) -> int:
    from bench import provision

    provision.provision(dry_run=arguments.dry_run)
    return 0
