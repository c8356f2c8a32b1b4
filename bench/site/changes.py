"""The trend's alerts as rows of a page: which cost, by how much, since when, why, and a link to where it is drawn."""

from __future__ import annotations

import math
from statistics import mode
from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format
from isobench.site import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from isobench.nights.trend import Alert

_NAMED = 4
"""The most costs of the baseline that a row names."""


class Place(NamedTuple):
    """A name, and the address of the page about it; empty if there is none."""

    words: str
    address: str


class Row(NamedTuple):
    """One alert."""

    number: int
    near: str
    confirmed: str
    host: Place
    before: str
    """Words before `what`."""
    what: list[Place]
    more: str
    """Words about what `what` leaves out."""
    change: str
    worse: bool
    cause: str
    state: str
    new: bool
    environment: str
    """The environment of a change of one cost relative to the baseline; empty for other changes."""
    factor: float
    """The ratio of the cost after the change to that before; 1 for a change of the software."""


def rows(alerts: Sequence[Alert], folder: str, host: str = "") -> list[Row]:
    """The alerts of one machine, oldest first, numbered; addresses begin with `folder` ("" on the machine's own pages).
    The first column of a page about all machines is `host`."""
    return [_row(number, alert, folder, host) for number, alert in enumerate(alerts, 1)]


def together(news: Sequence[Row]) -> list[Row]:
    """The same news in fewer rows: costs of one environment that changed alike are merged."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in news:
        alone = row.number if not row.environment else 0
        key = (row.host, row.environment, row.worse, row.cause, row.state, alone)
        groups.setdefault(key, []).append(row)
    return [_merged(group) if len(group) > 1 else group[0] for group in groups.values()]


def _merged(group: Sequence[Row]) -> Row:
    smallest, *_, largest = sorted(group, key=lambda row: abs(math.log(row.factor)))
    change = smallest.change if smallest.change == largest.change else f"{smallest.change} to {largest.change}"
    where = f" in {format.clean(group[0].environment, 100)}"
    what = [place._replace(words=place.words.removesuffix(where)) for row in group for place in row.what]
    more = f"and {len(what) - _NAMED} more" if len(what) > _NAMED else ""
    return group[0]._replace(
        before=f"{len(what)} costs{where}: ",
        what=what[:_NAMED],
        more=more,
        change=change,
        near=mode(row.near for row in group),
    )


def concerning(metric: str, all_rows: Iterable[Row], alerts: Sequence[Alert]) -> list[Row]:
    """The changes of a metric, and those of the host's software."""
    wanted = {
        number
        for number, alert in enumerate(alerts, 1)
        if alert.kind == "fingerprint" or any(one.startswith(f"{metric}/") for one in alert.what)
    }
    return [row for row in all_rows if row.number in wanted]


def cost_address(name: str, folder: str = "") -> str:
    """The address of a cost's figure: "startup.ready/docker"."""
    metric, _, environment = name.partition("/")
    return f"{folder}{names.slug(metric)}.html#{names.place(environment)}"


def size(factor: float | None) -> str:
    """By how much a cost changed: "+5.1 %", "−12 %"; a large change as a factor."""
    if factor is None:
        return ""
    if 0.5 < factor < 2:
        return f"{(factor - 1) * 100:+.1f} %".replace("-", "−")
    return format.ratio(factor)


def minute(stamp: str) -> str:
    """A readable form of a stamp in ISO 8601, UTC."""
    return format.clean(stamp[:16].replace("T", " "), 20)


def day(stamp: str) -> str:
    return format.clean(stamp[:10], 12)


def told(problems: Iterable[str]) -> list[str]:
    """Why runs were left out, cleaned, since the reasons quote the files."""
    return [format.clean(problem, 500) for problem in problems]


def cost_words(name: str) -> str:
    metric, _, environment = name.partition("/")
    return format.clean(f"{metric} in {environment}", 160)


def _row(number: int, alert: Alert, folder: str, host: str) -> Row:
    if alert.kind == "fingerprint":
        what, more = [Place(format.clean(alert.text.partition(": ")[2], 300), "")], ""
    else:
        named = alert.what[:_NAMED]
        what = [Place(cost_words(name), cost_address(name, folder)) for name in named]
        more = f"and {len(alert.what) - _NAMED} more" if len(alert.what) > _NAMED else ""
    return Row(
        number,
        minute(alert.near),
        minute(alert.confirmed),
        Place(host, folder and f"{folder}index.html"),
        "the host itself: " if alert.kind == "host" else "",
        what,
        more,
        size(alert.change),
        (alert.change or 1) > 1,
        format.clean("; ".join(alert.cause), 300),
        alert.state,
        alert.news,
        alert.what[0].partition("/")[2] if alert.kind == "environment" else "",
        alert.change or 1.0,
    )
