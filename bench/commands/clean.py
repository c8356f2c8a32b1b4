"""isobench clean: remove what killed runs left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from isobench.core import terminal
from isobench.core.errors import UsageError
from isobench.core.quantities import size
from isobench.daemons import private
from isobench.filesystem.cache import trim
from isobench.lifecycle import leftovers, plays
from isobench.lifecycle.measuring import measures_now
from isobench.planning import catalog

if TYPE_CHECKING:
    import argparse


SCHEMA = 1
_BOUND = 4 << 30
"""Default size of the cache in bytes: room for some twenty root file systems of Debian packages."""
EXAMPLES = """\
  isobench clean --dry-run                        what a killed run left behind
  isobench clean                                  remove it
  isobench clean --cache                          also trim the cache to 4 GiB, least recently used first
"""


class Document(TypedDict):
    """What `isobench clean --json` prints. `done` has a line for each thing that was removed, or would be removed."""

    schema: int
    done: list[str]


def documents() -> dict[str, object]:
    return {"clean": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache",
        nargs="?",
        const=_BOUND,
        type=size,
        metavar="4G",
        help="also trim the cache to this size, least recently used first (4G)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/clean.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    done = leftovers.clean(catalog.sweep, dry_run=arguments.dry_run)
    done += catalog.orphans(dry_run=arguments.dry_run)
    done += plays.clean(dry_run=arguments.dry_run)
    done += private.clean(dry_run=arguments.dry_run)
    if arguments.cache is not None:
        done += _trimmed(arguments.cache, dry_run=arguments.dry_run)
    if arguments.json:
        terminal.print_json(Document(schema=SCHEMA, done=done))
    else:
        print("\n".join(done) if done else "nothing to clean")
    return 1 if any(line.startswith("not cleaned") for line in done) else 0


def _trimmed(limit: int, *, dry_run: bool) -> list[str]:
    running = measures_now()
    if running and not dry_run:
        raise UsageError(f"a run is measuring, and uses the cache (pid {running[0]})", remedy="try again after it")
    return trim(limit, dry_run=dry_run)
