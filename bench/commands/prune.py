"""isobench prune: remove the values of old runs, and keep their estimates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from isobench.commands._options import add_keep
from isobench.core import terminal
from isobench.core.errors import UsageError
from isobench.layout import format
from isobench.nights.pruning import prune
from isobench.results import store
from isobench.results.runs import RESULTS

if TYPE_CHECKING:
    import argparse

    from isobench.nights.pruning import Outcome

SCHEMA = 1
EXAMPLES = """\
  isobench prune --keep 90 --dry-run              which runs would lose their values
  isobench prune --keep 90                        all but the newest ninety of each host; named runs keep theirs
"""


class PrunedRun(TypedDict):
    """A run whose values were removed, or would be. `freed` is in bytes; before it is done, the size of its files."""

    run: str
    freed: int


class Document(TypedDict):
    """What `isobench prune --json` prints. `named` counts older runs that keep their values because of a label or tag,
    `left_alone` are runs that are damaged or still being measured, `failed` those that could not be pruned, each with
    its reason."""

    schema: int
    dry_run: bool
    pruned: list[PrunedRun]
    named: int
    left_alone: list[str]
    failed: list[str]


def documents() -> dict[str, object]:
    return {"prune": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS, help="results folder (results/)")
    add_keep(parser, "the newest N runs of each host keep their values; nothing is removed without this option")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/prune.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    results: Path = arguments.results
    if arguments.keep is None:
        raise UsageError("--keep is missing: how many runs of each host keep their values", remedy="--keep 90")
    if not results.is_dir():
        raise UsageError(f"{results} is not a folder", remedy="isobench run creates it")
    if (results / store.SESSION).exists():
        raise UsageError(f"{results} is a run, not a folder of runs", remedy="name the results folder")
    done = prune(results, arguments.keep, dry_run=arguments.dry_run)
    if arguments.json:
        terminal.print_json(_document(done, arguments.dry_run))
    else:
        _print(done, arguments.dry_run)
    return 1 if done.failed else 0


def _document(done: Outcome, dry_run: bool) -> Document:
    return Document(
        schema=SCHEMA,
        dry_run=dry_run,
        pruned=[PrunedRun(run=str(one.path), freed=one.freed) for one in done.pruned],
        named=done.named,
        left_alone=done.left_alone,
        failed=done.failed,
    )


def _print(done: Outcome, dry_run: bool) -> None:
    for problem in done.left_alone:
        terminal.paragraph(f"isobench: left alone: {problem}", errors=True)
    for problem in done.failed:
        terminal.paragraph(f"isobench: not pruned: {problem}", errors=True)
    for one in done.pruned:
        print(f"{one.path}: {format.quantity(one.freed, 'byte')}")
    runs = format.count(len(done.pruned), "run")
    total = format.quantity(sum(one.freed for one in done.pruned), "byte")
    said = f"{runs} with {total} would lose their values" if dry_run else f"{runs} pruned, {total} freed"
    kept = f"; {format.count(done.named, 'older run')} with a label or tag kept" if done.named else ""
    terminal.paragraph(said + kept)
