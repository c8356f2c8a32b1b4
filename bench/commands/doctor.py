"""isobench doctor: what can be measured here, and why the rest cannot."""

from __future__ import annotations

import itertools
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench import catalog, deadlines, terminal
from bench.commands.run import add_timeout
from bench.text import visible

if TYPE_CHECKING:
    import argparse

    from rich.text import Text

    from bench.doctor import Finding

REQUIRED_MISSING = 4


EXAMPLES = """\
  isobench doctor                                 everything
  isobench doctor -e process,docker               two environments only
  isobench doctor --require docker,kvm            exit 4 where one of these does not launch
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--environments", default="all", metavar="ENV,..", help="which to prove (all)")
    parser.add_argument("--require", default="", metavar="ENV,..", help="exit 4 where one of these does not launch")
    add_timeout(parser)
    parser.add_argument("--json", action="store_true", help="data that a program can read")


def run(arguments: argparse.Namespace) -> int:
    from bench import doctor

    deadlines.begin(arguments.timeout)
    required = catalog.select_environments(arguments.require) if arguments.require else []
    chosen = catalog.select_environments(arguments.environments)
    chosen += [e for e in required if e not in chosen]
    findings = []
    show = (lambda finding: None) if arguments.json else _Printer()
    for finding in itertools.chain(
        doctor.check_leftovers(),
        doctor.check_noise(),
        doctor.check_tools(),
        doctor.check_environments(chosen),
    ):
        findings.append(finding)
        show(finding)
    if arguments.json:
        terminal.print_json([f._asdict() for f in findings])
    else:
        print(f"\n{_summary(findings)}")
    passed = {f.name for f in findings if f.kind == "environment" and f.outcome == "PASS"}
    missing = [e.name for e in required if e.name not in passed]
    if missing:
        print(f"isobench: required but unavailable: {', '.join(missing)}", file=sys.stderr)
        return REQUIRED_MISSING
    return 0


class _Printer:
    """A heading a kind, a line a finding as it comes, and beneath what is not well the command that mends it."""

    _HEADINGS = MappingProxyType(
        {
            "leftover": "Left behind",
            "noise": "Noise",
            "tool": "Tools",
            "environment": "Environments, each launched once",
        }
    )
    _STYLES = MappingProxyType({"PASS": "green", "FAIL": "bold red", "WARN": "yellow", "SKIP": "dim"})

    def __init__(self) -> None:
        self._console = terminal.console()
        self._kind = ""

    def __call__(self, finding: Finding) -> None:
        from rich.text import Text

        if finding.kind != self._kind:
            self._say(Text(("\n" if self._kind else "") + self._HEADINGS[finding.kind], style="bold"))
            self._kind = finding.kind
        line = Text("  ").append(finding.outcome, style=self._STYLES[finding.outcome])
        self._say(line.append(visible(f"  {finding.name:22} {finding.reason}".rstrip())))
        if finding.remedy and finding.outcome != "PASS":
            self._say(Text(visible(f"        → {finding.remedy}"), style="dim"))

    def _say(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


def _summary(findings: list[Finding]) -> str:
    environments = [f.outcome for f in findings if f.kind == "environment"]
    warnings = sum(f.outcome == "WARN" for f in findings)
    passed = environments.count("PASS")
    noted = f"{warnings} warning{'s' if warnings != 1 else ''}" if warnings else "no warnings"
    return f"{passed} of {len(environments)} environments can be measured here; {noted}"
