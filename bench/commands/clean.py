"""isobench clean: remove what killed runs left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from isobench.core import terminal
from isobench.run import catalog, lifecycle

if TYPE_CHECKING:
    import argparse


SCHEMA = 1
EXAMPLES = """\
  isobench clean --dry-run                        what a killed run left behind
  isobench clean                                  remove it
"""


class Document(TypedDict):
    """What `isobench clean --json` prints. `done` has a line for each thing that was removed, or would be removed."""

    schema: int
    done: list[str]


def documents() -> dict[str, object]:
    return {"clean": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/clean.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    from isobench.daemons import private

    done = lifecycle.clean(catalog.sweep, dry_run=arguments.dry_run)
    done += private.clean(dry_run=arguments.dry_run)
    if arguments.json:
        terminal.print_json(Document(schema=SCHEMA, done=done))
    else:
        print("\n".join(done) if done else "nothing to clean")
    return 1 if any(line.startswith("not cleaned") for line in done) else 0
