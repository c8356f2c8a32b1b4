"""isobench doctor: what can be measured here, and why the rest cannot."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from bench import catalog

if TYPE_CHECKING:
    import argparse

REQUIRED_MISSING = 4


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--environments", default="all", metavar="ENV,..", help="which to prove (all)")
    parser.add_argument("--require", default="", metavar="ENV,..", help="exit 4 where one of these does not launch")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds an environment has to say ready (60)")
    parser.add_argument("--json", action="store_true", help="data that a program can read")


def run(arguments: argparse.Namespace) -> int:
    from bench import doctor

    required = catalog.select_environments(arguments.require) if arguments.require else []
    chosen = catalog.select_environments(arguments.environments)
    chosen += [e for e in required if e not in chosen]
    findings = []
    for finding in (
        *doctor.check_leftovers(),
        *doctor.check_noise(),
        *doctor.check_tools(),
    ):
        findings.append(finding)
        if not arguments.json:
            _print(finding)
    for finding in doctor.check_environments(chosen, arguments.timeout):
        findings.append(finding)
        if not arguments.json:
            _print(finding)
    if arguments.json:
        print(json.dumps([f._asdict() for f in findings], indent=1))
    passed = {f.name for f in findings if f.kind == "environment" and f.outcome == "PASS"}
    missing = [e.name for e in required if e.name not in passed]
    if missing:
        print(f"isobench: required but unavailable: {', '.join(missing)}", file=sys.stderr)
        return REQUIRED_MISSING
    return 0


def _print(finding: tuple[str, str, str, str, str]) -> None:
    kind, name, outcome, reason, remedy = finding
    mend = f"  -> {remedy}" if remedy and outcome != "PASS" else ""
    print(f"{outcome}  {kind:11} {name:18} {reason}{mend}".rstrip(), flush=True)
