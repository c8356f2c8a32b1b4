"""isobench provision: install what is missing (Debian, Ubuntu)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from isobench.core import terminal
from isobench.planning import dependencies
from isobench.setup import provision

if TYPE_CHECKING:
    import argparse


PARTLY = 1
"""The exit code if something could not be installed. The rest is installed, and can be measured."""

SCHEMA = 1
EXAMPLES = """\
  isobench provision --dry-run                    what would be installed
  isobench provision                              install it; exit 1 if something could not be installed
"""


class Document(TypedDict):
    """What `isobench provision --json` prints. `done` has a line for each thing that was done, or would be done."""

    schema: int
    done: list[str]


def documents() -> dict[str, object]:
    return {"provision": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only print what would be installed")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/provision.schema.json)")
    parser.add_argument("--for-tests", action="store_true", help="also what the tests need")


def run(arguments: argparse.Namespace) -> int:
    done = provision.provision(dependencies.wanted(for_tests=arguments.for_tests), dry_run=arguments.dry_run)
    if arguments.json:
        terminal.print_json(Document(schema=SCHEMA, done=done.lines))
    if done.refused:
        count = len(done.refused)
        what = "one package" if count == 1 else f"{count} packages"
        terminal.paragraph(
            f"isobench: {what} could not be installed; isobench doctor shows what can be measured", errors=True
        )
    return PARTLY if done.refused else 0
