"""isobench provision: install what is missing, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


EXAMPLES = """\
  isobench provision --dry-run                    what would be installed
  isobench provision                              install it
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be installed, and change nothing")
    parser.add_argument("--json", action="store_true", help="what was (or would be) done as data")
    parser.add_argument("--for-tests", action="store_true", help="and what the tests check against")


def run(arguments: argparse.Namespace) -> int:
    from bench import provision

    done = provision.provision(dry_run=arguments.dry_run, for_tests=arguments.for_tests)
    if arguments.json:
        print(json.dumps(done, indent=1))
    return 0
