"""isobench plugin: create a plug-in, or test one against its contract."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from isobench.api import API_VERSION
from isobench.core import terminal
from isobench.core.errors import UsageError
from isobench.core.text import visible
from isobench.layout.format import count
from isobench.run.trial import check, write_skeleton

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

SCHEMA = 1
BROKEN = 1
EXAMPLES = """\
  isobench plugin new niced                       write a package with a plug-in of each kind, to start from
  isobench plugin check isobench_niced            test it against its contract, by launching it
  isobench plugin check isobench_niced --json     as data
"""


class FindingRow(TypedDict):
    """One promise of one plug-in: PASS, FAIL, or SKIP if it cannot be tested on this host."""

    plugin: str
    promise: str
    outcome: Literal["PASS", "FAIL", "SKIP"]
    reason: str


class CheckDocument(TypedDict):
    """What `isobench plugin check --json` prints."""

    schema: int
    api: list[int]
    findings: list[FindingRow]


class NewDocument(TypedDict):
    """What `isobench plugin new --json` prints: the files that were written."""

    schema: int
    files: list[str]


def documents() -> dict[str, object]:
    return {"plugin": CheckDocument, "plugin-new": NewDocument}


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    new = kinds.add_parser(
        "new", formatter_class=parser.formatter_class, help="write a package with a plug-in of each kind, to start from"
    )
    new.add_argument("name", metavar="NAME", help="name of the plug-ins")
    new.add_argument("--out", type=Path, metavar="FOLDER", help="output folder (isobench-NAME)")
    new.add_argument("--json", action="store_true", help="as data (docs/plugin-new.schema.json)")
    check = kinds.add_parser(
        "check",
        formatter_class=parser.formatter_class,
        help="test a module, or a package with its modules; exit 1 if it fails",
    )
    check.add_argument("module", metavar="MODULE", help="its import name")
    check.add_argument("--json", action="store_true", help="as data (docs/plugin.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    return _new(arguments) if arguments.what == "new" else _check(arguments)


def _new(arguments: argparse.Namespace) -> int:
    written = write_skeleton(arguments.name, arguments.out or Path(f"isobench-{arguments.name}"))
    if arguments.json:
        terminal.print_json(NewDocument(schema=SCHEMA, files=list(map(str, written))))
    else:
        print("\n".join(map(str, written)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    if not all(part.isidentifier() for part in arguments.module.split(".")):
        reason = f"{arguments.module!r} is no import name of a module"
        raise UsageError(reason, remedy="as in Python's import statement, without folder and .py: isobench_niced")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 (a plug-in under development need not be installed)
    findings = []
    for finding in check(arguments.module):
        findings.append(finding)
        if not arguments.json:
            terminal.paragraph(visible(f"{finding.outcome}  {finding.plugin}: {finding.promise}"), indent=6)
            if finding.reason:
                terminal.paragraph(visible(f"      {finding.reason}"), indent=6)
    failed = sum(finding.outcome == "FAIL" for finding in findings)
    if arguments.json:
        rows = [finding._asdict() for finding in findings]
        terminal.print_json({"schema": SCHEMA, "api": list(API_VERSION), "findings": rows})
    else:
        print(_summary([finding.outcome for finding in findings]))
    return BROKEN if failed else 0


def _summary(outcomes: Sequence[str]) -> str:
    failed, skipped = outcomes.count("FAIL"), outcomes.count("SKIP")
    kept = f"{count(len(outcomes) - skipped, 'promise')} kept"
    said = f"{failed} of {count(len(outcomes), 'promise')} broken" if failed else kept
    return said + (f", {skipped} not tested on this host" if skipped else "")
