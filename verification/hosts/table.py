"""HOSTS.md: the result of each check on each host, and of each environment of the catalogue."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from isobench.planning import catalog
from isobench.results import store
from verification.hosts import checks, host

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

HEAD = """\
# Hosts

Written by `nox -s hosts`: whole hosts, each booted on an emulated CPU (QEMU's TCG with AMD's SVM and nested paging, or
with EL2 on aarch64), so that its KVM is real software on emulated hardware. This page shows what works there. What it
costs there is meaningless elsewhere, because no block is excluded, whatever else the emulating machine was doing, and
none is a warm-up. A cell names the scenarios that were measured, or the reason why there are none;
`verification/hosts/record/` says on which day. A fresh host has what Debian's installer leaves, and reaches the mirrors
of the machine that emulates it: there the README's two commands are run as they are, for a few environments and tests.
The others have no network, and all that they need beforehand. Debian 13 is asked everything; the others what could come
out differently there, and – is what they are not asked. Not tested: libvirt's modular daemons, which Debian does not
package.
"""


FAIL = "**FAIL**"
_NOT_RUN, _NOT_ASKED = "not run", "–"


class Cell(msgspec.Struct):
    """One environment on one host."""

    measured: dict[str, str] = {}
    """Scenario -> the day on which it was last measured without a failure."""
    failed: dict[str, str] = {}
    """Scenario -> the reason of a failure that nothing has mended since."""
    said: str = ""
    """Why it was skipped, and what would help."""
    without: dict[str, str] = {}
    """Scenario -> why it has no values there, which is no failure."""

    def add(self, newer: Cell) -> None:
        """Let what is newer replace what it speaks of."""
        told = newer.measured.keys() | newer.without.keys() | newer.failed.keys()
        for kind in ("measured", "without", "failed"):
            kept = {scenario: what for scenario, what in getattr(self, kind).items() if scenario not in told}
            setattr(self, kind, kept | getattr(newer, kind))
        self.said = newer.said or self.said

    def __str__(self) -> str:
        """The scenarios that were measured, what is not there and what failed, or the reason why there are none."""
        listed = [
            ", ".join(sorted(self.measured.keys() - self.failed.keys())),
            *(f"no {name}: {why}" for name, why in self.without.items()),
        ]
        scenarios = "; ".join(filter(None, listed))
        if self.failed:
            reasons = "; ".join(f"{scenario}: {reason}" for scenario, reason in self.failed.items())
            return f"{scenarios}; {FAIL} {reasons}".lstrip("; ")
        return scenarios or self.said or _NOT_RUN


class Seen(msgspec.Struct):
    """One host: its facts, the result of each check, and of each environment. It is committed: results stay here."""

    about: str
    checks: dict[str, str] = {}
    environments: dict[str, Cell] = {}


def seen(file: Path, about: str, when: str, outcomes: Mapping[str, checks.Outcome], folder: Path) -> Seen:
    """Add to a host's record, `file`, these outcomes of checks, and the runs and the doctor's findings in `folder`."""
    one = read(file) if file.exists() else Seen(about)
    one.about = about
    for name, outcome in outcomes.items():
        mark = "" if outcome.passed else f"{FAIL} "
        one.checks[name] = f"{mark}{outcome.note} ({outcome.minutes:.0f} min, {when})"
    for name, cell in _environments(folder).items():
        one.environments.setdefault(name, Cell()).add(cell)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(one), indent=1) + b"\n")
    return one


def read(file: Path) -> Seen:
    """A host's record. Raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(file.read_bytes(), type=Seen)


def _environments(folder: Path) -> dict[str, Cell]:
    """What the runs and the doctor say of each environment of the catalogue."""
    cells: dict[str, Cell] = defaultdict(Cell)
    doctor = folder / "out/doctor.json"
    found = json.loads(doctor.read_text() or "{}") if doctor.exists() else {}
    findings = found if isinstance(found, list) else found.get("findings", [])  # older files are a list
    for one in findings:
        if one["kind"] == "environment":
            cells[one["name"]].said = _said(one)
    runs = [path for kept in ("results", "out/costs") for path in store.find_runs(folder / kept)]
    for path in sorted(runs, key=lambda run: run.name):  # a newer run of the same cell replaces an older one
        _, session, series = store.load(path)
        failed = {(failure.environment, failure.scenario): failure.reason for failure in session.failures}
        ran = {(cell.environment, cell.scenario) for block in session.blocks if block.index for cell in block.cells}
        measured = {(one.environment, one.scenario) for one in series if one.blocks}
        for environment, scenario in measured - failed.keys():
            cells[environment].add(Cell(measured={scenario: session.started[:10]}))
        for (environment, scenario), reason in failed.items():
            cells[environment].add(Cell(failed={scenario: reason}))
        for skip in session.skips:
            if not skip.scenario:
                cells[skip.environment].add(Cell(said=_said(msgspec.to_builtins(skip))))
            elif (skip.environment, skip.scenario) in ran - measured:
                cells[skip.environment].add(Cell(without={skip.scenario: skip.reason}))
    return {name: cells[name] for name in catalog.environments() if name in cells}


def _said(finding: Mapping[str, str]) -> str:
    if finding.get("outcome") == "PASS":
        return "launched, not measured"
    remedy = f" → {finding['remedy']}" if finding.get("remedy") else ""
    # these hosts have what is needed: where no remedy can be named, the fault is isobench's
    mark = f"{FAIL} " if finding.get("outcome") == "FAIL" or not remedy else ""
    return f"{mark}{finding['reason']}{remedy}"


def write(file: Path, record: Path, every: Sequence[checks.Check] = checks.CHECKS) -> None:
    """Write the page from the hosts' records, the files in `record`. `every` check has a row if it was run."""
    hosts = {path.stem: read(path) for path in sorted(record.glob("*.json"))}
    environments = {
        name: [str(one.environments.get(name, Cell())) for one in hosts.values()] for name in catalog.environments()
    }
    shown = {name: cells for name, cells in environments.items() if any(cell != _NOT_RUN for cell in cells)}
    known = host.known()
    carried_out = {
        check.name: [_outcome(check, one, known[name]) for name, one in hosts.items()]
        for check in every
        if any(check.name in one.checks for one in hosts.values())
    }
    parts = [HEAD, *(f"- **{name}**: {one.about}" for name, one in hosts.items()), ""]
    parts += _table("check", hosts, carried_out)
    parts += _table("environment", hosts, shown)
    rest = [name for name in (*(check.name for check in every), *environments) if name not in (*carried_out, *shown)]
    parts += [f"{_NOT_RUN.capitalize()} on any host yet: {', '.join(rest)}."] if rest else []
    file.write_text("\n".join(parts).rstrip() + "\n")


def _outcome(check: checks.Check, one: Seen, which: host.Host) -> str:
    return one.checks.get(check.name, _NOT_RUN if check.is_asked_of(which) else _NOT_ASKED)


def _table(kind: str, hosts: Collection[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [f"| {kind} | {' | '.join(hosts)} |", f"| --- |{' --- |' * len(hosts)}"]
    for row, cells in rows.items():
        written = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
        lines.append(f"| {row} | {' | '.join(written)} |")
    return [*lines, ""]


def today() -> str:
    """The date in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())
