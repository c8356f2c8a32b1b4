"""HOSTS.md: what each host did with each check, and each environment of the catalogue."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from isobench.results import store
from isobench.run import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from verification.hosts.checks import Outcome

HEAD = """\
# Hosts

Written by `nox -s hosts`: whole hosts, each booted on an emulated CPU (QEMU's TCG with AMD's SVM and nested paging), so
that its KVM is real software on emulated hardware. This page shows what works there. What it costs there is meaningless
elsewhere, because no block is excluded, whatever else the emulating machine was doing. A cell names the scenarios that
were measured, or the reason why there are none. Not tested here: the network. A host of the lab has none, so
dependencies are installed beforehand, and the README's two commands are run without pipx and nox. Nor libvirt's modular
daemons, which Debian does not package.
"""


FAIL = "**FAIL**"
_NOT_RUN = "not run"
KEPT = "seen.json"
"""The page's data of a host, in the host's folder. A check that is run on its own is added to the others."""


class Seen(NamedTuple):
    """One host: its facts, the result of each check, and of each environment."""

    host: str
    about: str
    checks: dict[str, str]
    environments: dict[str, str]


def seen(host: str, about: str, when: str, outcomes: Mapping[str, Outcome], folder: Path) -> Seen:
    """The results of a host: its environments by the runs in its folder, and these and earlier outcomes of checks."""
    kept = folder / KEPT
    lines = Seen(**json.loads(kept.read_text())).checks if kept.exists() else {}
    for name, outcome in outcomes.items():
        mark = "" if outcome.passed else f"{FAIL} "
        lines[name] = f"{mark}{outcome.note} ({outcome.minutes:.0f} min, {when})"
    one = Seen(host, about, lines, dict(_environments(folder)))
    kept.write_text(json.dumps(one._asdict(), indent=1))
    return one


def _environments(folder: Path) -> Iterable[tuple[str, str]]:
    """For each environment of the catalogue, what was measured, or why nothing was."""
    measured: dict[str, set[str]] = defaultdict(set)
    failed: dict[tuple[str, str], str] = {}
    said: dict[str, Mapping[str, str]] = {}
    runs = [path for kept in ("results", "out/costs") for path in store.find_runs(folder / kept)]
    for path in sorted(runs, key=lambda run: run.name):  # a newer run of the same cell replaces an older one
        session = store.load_session(path)
        broken = {(failure.environment, failure.scenario): failure.reason for failure in session.failures}
        cells = {(cell.environment, cell.scenario) for block in session.blocks if block.index for cell in block.cells}
        for environment, scenario in cells - broken.keys():
            measured[environment].add(scenario)
            failed.pop((environment, scenario), None)
        failed |= broken
        said |= {skip.environment: msgspec.to_builtins(skip) for skip in session.skips if not skip.scenario}
    doctor = folder / "out/doctor.json"
    found = json.loads(doctor.read_text() or "{}") if doctor.exists() else {}
    findings = found if isinstance(found, list) else found.get("findings", [])  # older files are a list
    said |= {one["name"]: one for one in findings if one["kind"] == "environment"}
    for name in catalog.environments():
        reasons = [f"{scenario}: {reason}" for (environment, scenario), reason in failed.items() if environment == name]
        yield name, _word(measured[name], "; ".join(reasons), said.get(name, {}))


def _word(measured: set[str], failed: str, said: Mapping[str, str]) -> str:
    scenarios = ", ".join(sorted(measured))
    if failed:
        return f"{scenarios}; {FAIL} {failed}".lstrip("; ")
    if scenarios:
        return scenarios
    if said.get("outcome") == "PASS":
        return "launched, not measured"
    remedy = f" → {said['remedy']}" if said.get("remedy") else ""
    mark = f"{FAIL} " if said.get("outcome") == "FAIL" else ""
    return f"{mark}{said.get('reason', _NOT_RUN)}{remedy}"


def write(file: Path, kept: Path, order: Sequence[str]) -> None:
    """Write the page, with all hosts that have a folder in `kept`. `order` names the checks."""
    hosts = [Seen(**json.loads(path.read_text())) for path in sorted(kept.glob(f"*/{KEPT}"))]
    found = {name for one in hosts for name in one.checks}
    checks = [name for name in order if name in found]
    names = list(dict.fromkeys(name for one in hosts for name in one.environments))
    environments = [name for name in names if any(one.environments.get(name, _NOT_RUN) != _NOT_RUN for one in hosts)]
    parts = [HEAD, *(f"- **{one.host}**: {one.about}" for one in hosts), ""]
    parts += _table("check", [one.host for one in hosts], checks, [one.checks for one in hosts])
    parts += _table("environment", [one.host for one in hosts], environments, [one.environments for one in hosts])
    rest = [name for name in (*order, *names) if name not in (*checks, *environments)]
    parts += [f"{_NOT_RUN.capitalize()} on any host yet: {', '.join(rest)}."] if rest else []
    file.write_text("\n".join(parts).rstrip() + "\n")


def _table(kind: str, hosts: list[str], rows: list[str], columns: list[dict[str, str]]) -> list[str]:
    lines = [f"| {kind} | {' | '.join(hosts)} |", f"| --- |{' --- |' * len(hosts)}"]
    for row in rows:
        cells = (column.get(row, _NOT_RUN).replace("|", "\\|").replace("\n", " ") for column in columns)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return [*lines, ""]


def today() -> str:
    """The date in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())
