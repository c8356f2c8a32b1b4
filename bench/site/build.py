"""Builds the site of a results folder. A machine whose runs did not change keeps its pages; the result is the same as
in a fresh build."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import msgspec

import isobench
from isobench.layout.page import FILES
from isobench.nights import history
from isobench.nights.trend import before, by_machine
from isobench.site import changes, compare, cost, costs, data, host, index, layout, summary
from isobench.site.folder import Folder
from isobench.site.machine import Machine, examine
from isobench.site.names import host_folder
from isobench.site.summary import HOSTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.nights.history import Night
    from isobench.site.summary import Summary

_PACKAGE = Path(isobench.__file__).parent
_ROOMS = ("analysis", "estimation", "layout", "nights", "report", "site")
"""The code on which the pages depend."""


class Built(NamedTuple):
    """The outcome of a build."""

    page: Path
    """The first."""
    machines: list[Summary]
    """The machines, the one with the newest run first."""
    runs: int
    pages: int
    written: int
    """New and changed files."""
    problems: list[str]
    """Runs that were left out, and why."""


class _Given(NamedTuple):
    """Everything that a machine's pages depend on."""

    nights: list[Night]
    earlier: Night | None
    reports: list[str]
    left_out: list[str]
    results: str
    """The name of the results folder."""
    newest: str
    """The state of the newest run's files, whose intervals are shown."""

    def digest(self) -> str:
        made = hashlib.sha256(_made_by().encode())
        made.update(msgspec.msgpack.encode(self))
        return made.hexdigest()


def build(results: Path, out: Path, reports: Path) -> Built:
    """Write the site of a results folder; `reports` is where `isobench run` and `report` put their reports.

    Raises `UsageError` for a folder that cannot be written, or that holds something else.
    """
    folder = Folder(out)
    found = history.read(results)
    given: dict[str, _Given] = {}
    for name, nights in by_machine(found.nights).items():
        place = host_folder(nights[0].host_id, name)
        links = _links(nights, reports, out / HOSTS / place)
        own = _own_problems(nights, found.problems)
        state = history.signature(results / nights[-1].path)
        given[place] = _Given(nights, before(found.nights, nights), links, own, results.resolve().name, state)
    digests = {place: one.digest() for place, one in given.items()}
    kept = {place for place, digest in digests.items() if folder.still(place, digest)}
    folder.begin(kept, given.keys())
    for place, one in given.items():
        if place not in kept:
            machine = examine(results, one.nights, one.earlier, one.reports, one.left_out)
            folder.put(place, digests[place], summary.of(machine), _pages(machine))
    machines = [made.summary for made in folder.machines.values()]
    top = {index.NAME: index.render(machines, found.problems), costs.NAME: costs.render(machines)}
    folder.finish({**top, **layout.files()})
    pages = sum(name.endswith(".html") for made in folder.machines.values() for name in made.pages) + len(top)
    ordered = summary.ordered(machines)
    return Built(out / index.NAME, ordered, len(found.nights), pages, folder.written, found.problems)


def _pages(machine: Machine) -> dict[str, str]:
    rows = changes.rows(machine.alerts, "")
    pages = {cost.name(metric): cost.render(machine, metric, rows) for metric in machine.courses}
    return {**pages, **compare.pages(machine), **data.files(machine), host.NAME: host.render(machine, rows)}


def _links(nights: Sequence[Night], reports: Path, page_folder: Path) -> list[str]:
    """For each night the address of its report; empty if it has none."""
    way = quote(os.fsencode(os.path.relpath(reports.resolve(), page_folder.resolve())))
    return [
        f"{way}/{quote(name)}/{FILES['html']}" if (reports / name / FILES["html"]).is_file() else ""
        for name in (night.path for night in nights)
    ]


def _own_problems(nights: Sequence[Night], problems: Sequence[str]) -> list[str]:
    """The problems with runs in the same host folders."""
    folders = {night.path.partition("/")[0] for night in nights}
    about = re.compile(f"(?:^|/)(?:{'|'.join(map(re.escape, sorted(folders)))})/")
    return [problem for problem in problems if about.search(problem)]


@cache
def _made_by() -> str:
    """A digest of the code, because other code makes other pages."""
    files = sorted(file for room in _ROOMS for file in (_PACKAGE / room).rglob("*.*") if file.suffix != ".pyc")
    digest = hashlib.sha256(isobench.__version__.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
