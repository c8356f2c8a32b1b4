"""isobench list: list environments, scenarios, metrics or workloads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from isobench.core import terminal
from isobench.planning import catalog

if TYPE_CHECKING:
    import argparse


EXAMPLES = """\
  isobench list                                   the lists, and the groups of environments
  isobench list environments                      every environment, what it adds and what it is compared with
  isobench list scenarios
  isobench list metrics --json                    as data
"""


KINDS = ("environments", "scenarios", "metrics", "workloads")
SCHEMA = 1


class EnvironmentRow(TypedDict):
    """One environment. `compared_with` is the rung that it differs from in `adds`; null if there is none."""

    name: str
    title: str
    adds: str
    compared_with: str | None
    single_factor: bool
    groups: list[str]


class ScenarioRow(TypedDict):
    """One scenario. `metrics` is the number of its metrics, `needs` the capabilities that an environment must have."""

    name: str
    title: str
    metrics: int
    needs: list[str]
    groups: list[str]


class MetricRow(TypedDict):
    """One metric, `SCENARIO.METRIC`."""

    name: str
    unit: Literal["second", "byte"]
    meaning: str


class WorkloadRow(TypedDict):
    """One workload, for `isobench run -w`. `metrics` are the numbers that it has in addition to those of every one."""

    name: str
    title: str
    packages: list[str]
    metrics: list[str]


class GroupRow(TypedDict):
    """A set of environments that can be named like a single one."""

    name: str
    meaning: str


class Document(TypedDict):
    """What `isobench list --json` prints: the requested list, or all of them."""

    schema: int
    environments: NotRequired[list[EnvironmentRow]]
    scenarios: NotRequired[list[ScenarioRow]]
    metrics: NotRequired[list[MetricRow]]
    workloads: NotRequired[list[WorkloadRow]]
    groups: NotRequired[list[GroupRow]]


def documents() -> dict[str, object]:
    return {"list": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=KINDS, help="one list (default: an overview)")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/list.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    rows = {"environments": _environments, "scenarios": _scenarios, "metrics": _metrics, "workloads": _workloads}
    chosen = [arguments.what] if arguments.what else KINDS
    if arguments.json:
        groups = {} if arguments.what else {"groups": [{"name": n, "meaning": m} for n, m in catalog.GROUPS.items()]}
        terminal.print_json({"schema": SCHEMA, **{kind: rows[kind]() for kind in chosen}, **groups})
    elif arguments.what:
        _print(rows[arguments.what]())
    else:
        _overview()
    return 0


_MEANINGS = {
    "environments": "ways to run a program, for -e",
    "scenarios": "families of measurements, for -s",
    "metrics": "what each scenario measures",
    "workloads": "real programs, for -w",
}


def _overview() -> None:
    """What can be listed, and the groups that can be named like environments. This imports no plug-in."""
    for kind, meaning in _MEANINGS.items():
        print(f"isobench list {kind:12}  {meaning}")
    print("\ngroups of environments, for -e:")
    for name, meaning in catalog.GROUPS.items():
        print(f"  {name:10}  {meaning}")


def _environments() -> list[dict[str, object]]:
    return [
        {
            "name": e.name,
            "title": e.title,
            "adds": e.adds,
            "compared_with": e.compared_with,
            "single_factor": e.single_factor,
            "groups": sorted(e.groups),
        }
        for e in catalog.environments().values()
    ]


def _scenarios() -> list[dict[str, object]]:
    return [
        {
            "name": s.name,
            "title": s.title,
            "metrics": len(s.metrics),
            "needs": sorted(s.needs),
            "groups": sorted(s.groups),
        }
        for s in catalog.scenarios().values()
    ]


def _metrics() -> list[dict[str, object]]:
    return [
        {"name": f"{s.name}.{m.name}", "unit": m.unit, "meaning": m.meaning}
        for s in catalog.scenarios().values()
        for m in s.metrics
    ]


def _workloads() -> list[dict[str, object]]:
    from isobench.workloads.file import read_workload

    found = [read_workload(path) for path in catalog.workloads().values()]
    return [
        {
            "name": one.name,
            "title": one.title,
            "packages": list(one.packages),
            "metrics": [number.name for number in one.numbers],
        }
        for one in found
    ]


def _print(rows: list[dict[str, object]]) -> None:
    """A plain table in a pipe, and on a terminal that is wide enough; on a narrow one a paragraph for each entry."""
    heads = [name.replace("_", " ") for name in rows[0]]
    lines = [[_word(value) for value in row.values()] for row in rows]
    widths = [max(len(line[i]) for line in (heads, *lines)) for i in range(len(heads))]
    if not sys.stdout.isatty() or sum(widths) + 2 * (len(widths) - 1) <= terminal.width():
        for line in (heads, *lines):
            print("  ".join(word.ljust(size) for word, size in zip(line, widths, strict=True)).rstrip())
        return
    for row in rows:
        name, title, *further = (_word(value, ", ") for value in row.values())
        terminal.paragraph(f"{name}: {title}", indent=4)
        details = [f"{head}: {word}" for head, word in zip(heads[2:], further, strict=True) if word]
        terminal.paragraph("    " + "; ".join(details), indent=4)


def _word(value: object, between: str = ",") -> str:
    if isinstance(value, list):
        return between.join(map(str, value))
    return "yes" if value is True else str(value or "")
