"""isobench doctor: show what can be measured here, by launching each environment once."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypedDict

from rich.table import Table
from rich.text import Text

from isobench.commands._options import Given, add_timeout
from isobench.core import deadlines, display, terminal
from isobench.core.text import visible
from isobench.planning import catalog
from isobench.run import doctor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from isobench.contracts.environment import Environment
    from isobench.run.doctor import Finding

REQUIRED_MISSING = 4
SCHEMA = 1


EXAMPLES = """\
  isobench doctor                                 everything
  isobench doctor -e process,docker               two environments only
  isobench doctor --require docker,kvm            exit 4 if one of these cannot be launched
"""


class FindingRow(TypedDict):
    """One finding. `outcome`: PASS, FAIL (it should work and does not), SKIP (this host does not have it), WARN (it
    disturbs measurements)."""

    kind: Literal["leftover", "noise", "tool", "environment"]
    name: str
    outcome: Literal["PASS", "FAIL", "SKIP", "WARN"]
    reason: str
    remedy: str


class Document(TypedDict):
    """What `isobench doctor --json` prints."""

    schema: int
    findings: list[FindingRow]


def documents() -> dict[str, object]:
    return {"doctor": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--environments", default="all", metavar="ENV,..", action=Given, help="environments to launch (all)")
    add("--require", default="", metavar="ENV,..", action=Given, help="exit 4 if one of these cannot be launched")
    add_timeout(parser)
    parser.add_argument("--json", action="store_true", help="as JSON (docs/doctor.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    required = catalog.select_environments(arguments.require) if arguments.require else []
    chosen = catalog.select_environments(arguments.environments)
    chosen += [e for e in required if e not in chosen]
    findings = examine(chosen, arguments.timeout)
    if arguments.json:
        terminal.print_json({"schema": SCHEMA, "findings": [f._asdict() for f in findings]})
    else:
        display.tell(*for_terminal(findings))
    passed = {f.name for f in findings if f.kind == "environment" and f.outcome == "PASS"}
    missing = [e.name for e in required if e.name not in passed]
    if missing:
        terminal.paragraph(f"isobench: required but unavailable: {', '.join(missing)}", errors=True)
        return REQUIRED_MISSING
    return 0


def examine(chosen: Sequence[Environment], timeout: float | None = None) -> list[Finding]:
    """Examine the host, and launch each of these environments once; `timeout` is the seconds given by `--timeout`."""
    deadlines.begin(timeout)
    return list(_findings(chosen))


def _findings(chosen: Sequence[Environment]) -> Iterator[Finding]:
    """All findings; a terminal shows meanwhile which environment is being launched."""
    other = list(doctor.check_other_runs())
    for finding in other:
        if finding.outcome == "WARN":
            terminal.paragraph(f"isobench: {finding.reason}", errors=True)
    yield from doctor.check_leftovers()
    yield from other
    yield from doctor.check_noise()
    yield from doctor.check_tools()
    foot = display.Foot() if terminal.is_live(sys.stderr) else None
    launched = doctor.check_environments(chosen)
    try:
        for number, environment in enumerate(chosen, 1):
            if foot:
                foot.draw(display.cell(f"launching {environment.name}, {number} of {len(chosen)}"))
            yield next(launched)
    finally:
        launched.close()
        if foot:
            foot.close()


_HEADINGS = MappingProxyType(
    {
        "leftover": "Left behind",
        "noise": "Noise",
        "tool": "Tools",
        "environment": "Environments, each launched once",
    }
)
_STYLES = MappingProxyType({"PASS": "green", "FAIL": "bold red", "WARN": "yellow", "SKIP": "dim"})


def for_terminal(findings: Sequence[Finding]) -> list[RenderableType]:
    """One heading per kind. Findings with the same cause share a line, with the remedy beneath it."""
    words: list[RenderableType] = []
    for kind, heading in _HEADINGS.items():
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(no_wrap=True)
        lines.add_column(overflow="fold")
        for group in _by_cause([one for one in findings if one.kind == kind]):
            first = group[0]
            names = ", ".join(one.name for one in group)
            what = visible(f"{names}: {first.reason}" if first.reason else names)
            lines.add_row(Text(f"  {first.outcome}", style=_STYLES[first.outcome]), what)
            remedies = dict.fromkeys(one.remedy for one in group if one.remedy and one.outcome != "PASS")
            if remedies:
                lines.add_row("", Text(visible(f"→ {_together(list(remedies))}"), style="dim"))
        words += [Text(heading, style="bold"), lines, ""]
    return [*words, _summary(findings)]


def _by_cause(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings with the same outcome and reason, grouped; groups are in the order of their first findings."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.outcome, finding.reason), []).append(finding)
    return list(groups.values())


def _together(remedies: Sequence[str]) -> str:
    """The remedy of a group: packages in one command, otherwise every remedy."""
    if all(remedy.startswith(_INSTALL) for remedy in remedies):
        return _INSTALL + " ".join(remedy.removeprefix(_INSTALL) for remedy in remedies)
    return "; ".join(remedies)


_INSTALL = "apt-get install "


def _summary(findings: Sequence[Finding]) -> str:
    environments = [f.outcome for f in findings if f.kind == "environment"]
    warnings = sum(f.outcome == "WARN" for f in findings)
    passed = environments.count("PASS")
    noted = f"{warnings} warning{'s' if warnings != 1 else ''}" if warnings else "no warnings"
    return f"{passed} of {len(environments)} environments can be measured here; {noted}"
