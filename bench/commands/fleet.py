"""isobench fleet: measure on many hosts with Ansible, compare them, and export all their nights."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from isobench.core import display, terminal
from isobench.core.errors import Interrupted, NothingMeasured, UsageError
from isobench.core.quantities import seconds
from isobench.core.text import clean
from isobench.export import history as parquet
from isobench.layout import format
from isobench.lifecycle import leftovers
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.nights import history
from isobench.nights.fleet import Fleet, evaluate
from isobench.planning import catalog
from isobench.planning.choice import PROFILES
from isobench.results.runs import RESULTS

if TYPE_CHECKING:
    import argparse

    from isobench.fleet.playing import Outcome
    from isobench.fleet.turns import Place
    from isobench.nights.fleet import Odd, Peers
    from isobench.nights.history import History

SCHEMA = 1
SOME_FAILED = 1
EXAMPLES = """\
  isobench fleet run -i inventory.yml             a night on every host; run again, it completes what is missing
  isobench fleet run -i inventory.yml -e process,docker -s startup --deadline 1h --at-most 2
  isobench fleet run -i inventory.yml --check     what would be changed on the hosts
  isobench fleet run -i inventory.yml --json      as data
  isobench fleet report                           ratios over all hosts in results/, and the odd host
  isobench fleet export --out history --group rack1       all nights as Parquet, for DuckDB and others
"""


class HostRow(TypedDict):
    """What became of one host. `reason` says why it was not measured, `run` is the run's folder, `changed` counts
    Ansible's tasks that changed something."""

    host: str
    domain: str
    state: Literal["measured", "already measured", "checked", "unreachable", "failed", "given up"]
    reason: str
    run: str | None
    blocks: int
    changed: int
    seconds: float


class RunDocument(TypedDict):
    """What `isobench fleet run --json` prints. `night` is the label of the runs."""

    schema: int
    night: str
    hosts: list[HostRow]


class ExportDocument(TypedDict):
    """What `isobench fleet export --json` prints: the files of this group with their size in bytes. `problems` are runs
    that were left out, with the reason."""

    schema: int
    group: str
    nights: int
    costs: int
    files: list[str]
    bytes: int
    problems: list[str]


def documents() -> dict[str, object]:
    return {"fleet-run": RunDocument, "fleet-report": Fleet, "fleet-export": ExportDocument}


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    run = kinds.add_parser("run", formatter_class=parser.formatter_class, help="measure on the hosts of an inventory")
    run.add_argument("-i", "--inventory", type=Path, required=True, metavar="FILE", help="Ansible's inventory")
    run.add_argument("-e", "--environments", default="", metavar="ENV,..", help="as in isobench run, on every host")
    run.add_argument("-s", "--scenarios", default="", metavar="SCENARIO,..", help="likewise")
    run.add_argument("--profile", choices=PROFILES, help="likewise")
    run.add_argument("--blocks", type=int, metavar="N", help="likewise")
    run.add_argument("--only", default="all", metavar="HOST,..", help="hosts or groups of the inventory (all)")
    night = "name of the night, once for each host (the date, UTC)"
    run.add_argument("--night", metavar="NAME", help=night)
    run.add_argument("--deadline", type=seconds, metavar="3h", help="how long a host may measure (3h)")
    run.add_argument("--at-once", type=_count, default=10, metavar="N", help="hosts at the same time (10)")
    shared = "hosts at the same time that share an isobench_domain, such as a power supply"
    run.add_argument("--at-most", type=_count, metavar="N", help=shared)
    run.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="results folder (results/)")
    run.add_argument("--check", action="store_true", help="change nothing, and say what would be changed")
    run.add_argument("--json", action="store_true", help="as JSON (docs/fleet-run.schema.json)")
    run.add_argument("-q", "--quiet", action="store_true", help="no progress")
    report = kinds.add_parser("report", formatter_class=parser.formatter_class, help="compare hosts with each other")
    report.add_argument("results", nargs="?", type=Path, default=RESULTS, help="results folder (results/)")
    report.add_argument("--json", action="store_true", help="as JSON (docs/fleet-report.schema.json)")
    export = kinds.add_parser("export", formatter_class=parser.formatter_class, help="write all nights as Parquet")
    export.add_argument("results", nargs="?", type=Path, default=RESULTS, help="results folder (results/)")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the files of all groups")
    export.add_argument("--group", default="all", metavar="NAME", help="what these hosts are called together (all)")
    export.add_argument("--json", action="store_true", help="what was written (docs/fleet-export.schema.json)")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:10]) < 10**6:
        raise UsageError(f"{text[:40]!r} is not a number of hosts", remedy="1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    return {"run": _run, "report": _report, "export": _export}[arguments.what](arguments)


def _run(arguments: argparse.Namespace) -> int:
    night = arguments.night or datetime.now(UTC).strftime("%Y-%m-%d")
    _check_name(night, "night")  # as in the role `settings`
    variables = _variables(arguments, night)
    try:
        from isobench.fleet import playing  # Ansible is an extra
    except ImportError as error:
        raise UsageError("Ansible is not installed", remedy="pip install 'isobench[fleet]'") from error
    leftovers.clean(catalog.sweep)
    places: list[Place] = []
    rows: list[HostRow] = []

    def told(host: str, role: str) -> None:
        if not arguments.quiet:
            print(f"{clean(host)}: {role}", file=sys.stderr)

    try:
        with workspace(new_run_id()) as workdir:
            places = playing.places(arguments.inventory, workdir, arguments.only)
            planned = playing.Night(arguments.inventory, variables, workdir, arguments.deadline, arguments.check)
            of_one_domain = arguments.at_most or len(places)
            for outcome in playing.play_each(places, planned, told, arguments.at_once, of_one_domain):
                rows.append(_row(outcome, arguments.out))
                if not arguments.json:
                    _print(rows[-1])
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {format.count(len(rows), 'host')} of {len(places)} done",
            remedy=f"the same command with --night {night} completes it",
            document={"schema": SCHEMA, "night": night, "hosts": rows},
        ) from None
    return _concluded(arguments, night, rows)


def _check_name(text: str, what: str) -> None:
    """Raise `UsageError` for what cannot be the name of a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        remedy = "letters, digits, dots, dashes and underscores, a hundred at most"
        raise UsageError(f"{text[:100]!r} cannot be the name of a {what}", remedy=remedy)


def _variables(arguments: argparse.Namespace, night: str) -> dict[str, object]:
    """The roles' variables that the command line sets. Raises `UsageError` for an unknown name."""
    given = [("-e", arguments.environments), ("-s", arguments.scenarios)]
    given += [("--profile", arguments.profile), ("--blocks", str(arguments.blocks or ""))]
    if arguments.environments:
        catalog.select_environments(arguments.environments)
    if arguments.scenarios:
        catalog.select_scenarios(arguments.scenarios)
    words = [word for option, value in given if value for word in (option, value)]
    variables: dict[str, object] = {"isobench_night": night, "isobench_fetched": str(arguments.out.absolute())}
    variables |= {"isobench_arguments": words} if words else {}
    return variables | ({"isobench_deadline": int(arguments.deadline) or 1} if arguments.deadline else {})


def _row(outcome: Outcome, results: Path) -> HostRow:
    run = str(results / outcome.run) if outcome.run else None
    return HostRow(
        host=outcome.host, domain=outcome.domain, state=outcome.state, reason=outcome.reason, run=run,
        blocks=outcome.blocks, changed=outcome.changed, seconds=outcome.seconds,
    )  # fmt: skip


def _print(row: HostRow) -> None:
    what = row["reason"] or row["run"] or format.count(row["changed"], "task") + " would change something"
    terminal.paragraph(f"{clean(row['host'])}: {row['state']}: {what}", indent=2)


def _concluded(arguments: argparse.Namespace, night: str, rows: list[HostRow]) -> int:
    document = RunDocument(schema=SCHEMA, night=night, hosts=rows)
    done = sum(row["state"] in ("measured", "already measured", "checked") for row in rows)
    if not done:
        error = NothingMeasured(f"no host was measured; {clean(rows[0]['host'])}: {rows[0]['reason']}")
        error.document = {**document}
        raise error
    if arguments.json:
        terminal.print_json(document)
    else:
        print(f"{night}: {done} of {format.count(len(rows), 'host')}")
    return 0 if done == len(rows) else SOME_FAILED


def _history(results: Path) -> History:
    if not results.is_dir():
        raise UsageError(f"{results} is not a folder", remedy="isobench fleet run creates it")
    return history.read(results)


def _export(arguments: argparse.Namespace) -> int:
    _check_name(arguments.group, "group of hosts")
    found = _history(arguments.results)
    if not found.nights:
        raise UsageError(f"{arguments.results} has no run", remedy="isobench fleet run measures")
    try:
        files = parquet.write(found.nights, arguments.out, arguments.group)
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise UsageError(f"cannot write to {arguments.out}: {error.strerror}") from error
    costs = sum(len(night.points) for night in found.nights)
    if arguments.json:
        document = ExportDocument(
            schema=SCHEMA, group=arguments.group, nights=len(found.nights), costs=costs, files=list(map(str, files)),
            bytes=size, problems=found.problems,
        )  # fmt: skip
        terminal.print_json(document)
        return 0
    _print_problems(found.problems)
    of = f"{format.count(costs, 'cost')} of {format.count(len(found.nights), 'run')}"
    print(f"{of} in {format.count(len(files), 'file')}, {format.quantity(size, 'byte')}")
    return 0


def _print_problems(problems: list[str]) -> None:
    for problem in problems:
        terminal.paragraph(f"isobench: left out: {problem}", errors=True)


def _report(arguments: argparse.Namespace) -> int:
    found = evaluate(_history(arguments.results), arguments.results)
    if arguments.json:
        terminal.print_json(found)
    else:
        _print_fleet(found)
    return 0


def _print_fleet(fleet: Fleet) -> None:
    _print_problems(fleet.problems)
    hosts = sum(len(one.hosts) for one in fleet.peers)
    print(f"{format.count(fleet.nights, 'run')} of {format.count(hosts, 'host')}")
    for one in fleet.peers:
        _print_peers(one)


def _print_peers(peers: Peers) -> None:
    """Hosts of one kind: the odd ones, then each cost. A single host has no peers to be compared with."""
    hosts = format.count(len(peers.hosts), "host")
    print()
    terminal.paragraph(f"{hosts}: {clean(peers.hardware or 'unknown hardware')}; ratios to {clean(peers.baseline)}")
    for odd in peers.odd:
        terminal.paragraph(_sentence(odd), indent=2)
    if len(peers.hosts) == 1:
        terminal.paragraph("alone of its kind: no other host to compare it with")
        return
    for number, one in enumerate(peers.software if len(peers.software) > 1 else (), start=1):
        facts = "; ".join(f"{name} {value or 'none'}" for name, value in one.facts.items())
        terminal.paragraph(f"software {number}: {format.listing(one.hosts)}: {clean(facts)}", indent=2)
    rows = [
        (
            f"{one.scenario}.{one.metric}/{one.environment}", one.hosts, format.ratio(one.median),
            f"[{format.ratio(one.q25)}, {format.ratio(one.q75)}]",
            f"{format.ratio(one.least)} {one.least_host}", f"{format.ratio(one.most)} {one.most_host}",
            *([", ".join("–" if ratio is None else format.ratio(ratio) for ratio in one.by_software)] * several),
        )
        for several in [len(peers.software) > 1]
        for one in peers.costs
    ]  # fmt: skip
    display.table(_COLUMNS if len(peers.software) > 1 else _COLUMNS[:-1], rows)


_COLUMNS = (
    display.Column("cost"),
    display.Column("hosts", "right"),
    display.Column("median", "right"),
    display.Column("middle half", wraps=True),
    display.Column("least", wraps=True),
    display.Column("most", wraps=True),
    display.Column("by software", wraps=True),
)


def _sentence(odd: Odd) -> str:
    """An odd host: in which costs it is odd, and in which facts it differs from its peers."""
    costs = [
        f"{one.scenario}.{one.metric}/{one.environment} {format.ratio(one.ratio)}, usually {format.ratio(one.usual)}"
        for one in odd.costs
    ]
    facts = [f"{one.name} is {one.value or 'absent'}, usually {one.usual or 'absent'}" for one in odd.facts]
    said = f"odd: {odd.host_id}: {'; '.join(costs[:_SHOWN])}"
    said += f"; and {format.count(len(costs) - _SHOWN, 'more cost')}" if len(costs) > _SHOWN else ""
    differs = "; ".join(clean(fact, 200) for fact in facts) if facts else "no known fact"
    return f"{clean(said, 2000)}. What differs: {differs}"


_SHOWN = 5
