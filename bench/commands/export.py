"""isobench export: write a run in another tool's format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from isobench.analysis import results
from isobench.core import terminal
from isobench.core.errors import UsageError
from isobench.export import bundle
from isobench.export.formats import export, formats
from isobench.results import runs, store

if TYPE_CHECKING:
    import argparse

    from isobench.analysis.results import Results

BUNDLE = "bundle"
"""Not another tool's format, but results and report in one archive."""

SCHEMA = 1
EXAMPLES = """\
  isobench export results/HOST/TIME --to csv
  isobench export results/HOST/TIME --to parquet --out run.parquet
  isobench export results/HOST/TIME --to bundle --out run.tar.gz     results and report, without the host's name
"""


class Document(TypedDict):
    """What `isobench export --out FILE --json` prints: the file that was written, and its size in bytes."""

    schema: int
    run: str
    format: str
    file: str
    bytes: int


def documents() -> dict[str, object]:
    return {"export": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar=runs.METAVAR, help=runs.HELP)
    parser.add_argument("--to", required=True, choices=[*formats(), BUNDLE], help="the format")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write (standard output)")
    parser.add_argument("--json", action="store_true", help="with --out, what was written (docs/export.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.json and arguments.out is None:
        raise UsageError("--json describes a file, but the export goes to standard output", remedy="--out FILE")
    folder = runs.one(arguments.run)
    data = _exported(results.load(folder), arguments.to)
    if arguments.out is None:
        if (arguments.to == BUNDLE or formats()[arguments.to].binary) and sys.stdout.isatty():
            raise UsageError(f"{arguments.to} is not a text format", remedy="--out FILE")
        if sys.stdout.isatty():
            print(data.decode(), end="")  # control characters are made visible
        else:
            terminal.say_bytes(data)
        return 0
    if not arguments.out.name or arguments.out.is_dir():
        raise UsageError(f"cannot write {arguments.out}: it is a folder", remedy="--out FILE")
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        store.write_atomically(arguments.out, data)
    except OSError as error:
        raise UsageError(f"cannot write {arguments.out}: {error.strerror}") from error
    if arguments.json:
        written = str(arguments.out)
        terminal.print_json(
            Document(schema=SCHEMA, run=str(folder), format=arguments.to, file=written, bytes=len(data))
        )
    return 0


def _exported(results: Results, to: str) -> bytes:
    return bundle.bundle(results.run) if to == BUNDLE else export(results, to)
