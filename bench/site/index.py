"""The first page: whether anything changed since the run before, on which host, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import isobench
from isobench.layout import format
from isobench.nights.trend import FEWEST
from isobench.site import changes, costs, layout, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from isobench.nights.trend import Alert
    from isobench.site.changes import Place, Row
    from isobench.site.summary import Summary

NAME = "index.html"
_MOST_NEWS, _MOST_CHANGES, _MOST_LEFT_OUT = 20, 100, 100
"""The most entries of each list, so that the page stays small. A host's own page has all its changes."""


class _Host(NamedTuple):
    words: str
    address: str
    newest: Place
    label: str
    new: int
    changed: str
    runs: int
    since: str
    watched: int
    hardware: str


class _Note(NamedTuple):
    host: Place
    words: str


def render(machines: Sequence[Summary], problems: Sequence[str]) -> str:
    """`machines` in any order; `problems` are runs that were left out."""
    ordered = summary.ordered(machines)
    names = summary.names(ordered)
    known = [(alert.confirmed, alert.near, row) for one in ordered for alert, row in _rows(one, names[one.folder])]
    known.sort(key=lambda entry: entry[:2], reverse=True)
    stands = [row for _, _, row in known if row.state != "withdrawn"]
    newest = ordered[0].newest if ordered else ""
    current = summary.current(ordered)
    notes = list(_notes(current, names, newest))
    fresh = [one for one in current if one.news and not summary.is_late(one, newest)]
    new = [row for one in fresh for alert, row in _rows(one, names[one.folder]) if alert.news]
    more = f"; the newest {_MOST_CHANGES} of {len(stands)}" if len(stands) > _MOST_CHANGES else ""
    runs = format.count(sum(one.runs for one in ordered), "run")
    return layout.page(
        "index",
        root="",
        title="What isolation costs, night by night",
        version=isobench.__version__,
        trail=[],
        sections=[("news", "New"), ("hosts", "Hosts"), ("changes", "Changes"), ("left-out", "Left out")],
        lead=f"{runs} of {format.count(len(ordered), 'host')}",
        newest=newest,
        news=changes.together(new),
        news_total=len(new),
        most=_MOST_NEWS,
        where=format.listing([names[one.folder] for one in fresh], 4),
        calm=any(one.watched for one in current) and not notes,
        verdict=summary.verdict(current, bool(notes)),
        notes=notes,
        costs=costs.NAME,
        hosts=[_host(one, names[one.folder]) for one in ordered],
        changes=stands[:_MOST_CHANGES],
        caption=f"What the trend has confirmed on all hosts, the latest confirmed first{more}",
        problems=changes.told(problems[:_MOST_LEFT_OUT]),
        problems_total=len(problems),
    )


def _rows(one: Summary, name: str) -> Iterable[tuple[Alert, Row]]:
    return zip(one.alerts, changes.rows(one.alerts, one.address, name), strict=True)


def _host(one: Summary, name: str) -> _Host:
    stands = [alert.near for alert in one.alerts if alert.state != "withdrawn"]
    report = f"{one.address}{one.report}" if one.report else ""
    return _Host(
        name,
        f"{one.address}index.html",
        changes.Place(changes.minute(one.newest), report),
        format.clean(one.label, 60),
        len(one.news),
        changes.day(max(stands, default="")),
        one.runs,
        changes.day(one.first),
        one.watched,
        one.hardware,
    )


def _notes(current: Sequence[Summary], names: dict[str, str], newest: str) -> Iterable[_Note]:
    """Further notes about each host: an environment that is gone, no recent run, too few runs."""
    watching = any(one.watched for one in current)
    for one in current:
        place = changes.Place(names[one.folder], f"{one.address}index.html")
        if summary.is_late(one, newest):
            since, behind = changes.day(one.newest), round(summary.days(one.newest, newest))
            yield _Note(place, f" has had no run since {since}, {behind} days before the newest.")
        elif one.gone:
            yield _Note(place, f": {one.gone_words}")
        if watching and not one.watched:
            yield _Note(place, f" has no cost with {FEWEST} runs yet, so no change can be known.")
