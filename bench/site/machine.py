"""One machine's nights, for its pages: each cost over the nights with its levels and changes, and the newest run's
values."""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import suppress
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis.results import load
from isobench.core.errors import StoreError
from isobench.host.reasons import as_text
from isobench.layout import format
from isobench.nights.trend import watch
from isobench.results.record import HARDWARE
from isobench.site import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from isobench.analysis.results import Estimate, Results
    from isobench.nights.history import Night, Point
    from isobench.nights.trend import Alert, Watched


class Level(NamedTuple):
    """Nights between two confirmed changes, as indices of the machine's nights, and their median."""

    first: int
    last: int
    number: float


class Course(NamedTuple):
    """One cost over the nights: ratios to one baseline, or values of one unit."""

    metric: str
    """Scenario and metric: "startup.ready"."""
    environment: str
    against: str
    """The baseline of a ratio; empty for a value."""
    unit: str
    """Of a value; empty for a ratio."""
    nights: list[int]
    """Indices of the machine's nights that have it."""
    numbers: list[float]
    levels: list[Level]
    place: str
    """The id of its figure on the page of its metric."""
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    """Ends of each night's interval from its blocks alone; NaN if there is none."""

    @property
    def name(self) -> str:
        return f"{self.metric}/{self.environment}"


class Newest(NamedTuple):
    """A cost in the newest run that has it."""

    night: int
    point: Point
    estimate: Estimate | None
    """The estimate with its interval; only for the machine's newest run."""


class Machine(NamedTuple):
    """Everything that the pages of one machine show."""

    host_id: str
    folder: str
    results: str
    """What the results folder is called."""
    nights: Sequence[Night]
    starts: Sequence[str]
    """The alerts of these nights."""
    reports: Sequence[str]
    """For each night the address of its report, relative to the machine's pages; empty if there is none."""
    left_out: Sequence[str]
    """Runs in this machine's folders that were left out, and why."""
    alerts: Sequence[Alert]
    watched: int
    """Series."""
    courses: dict[str, list[Course]]
    """By metric."""
    newest: dict[tuple[str, str], Newest]
    """By metric and environment."""
    meanings: dict[str, str]
    """The meaning of each metric according to the newest run."""

    @property
    def hardware(self) -> str:
        return hardware(self.nights[-1].fingerprint)

    def night_of(self, alert: Alert) -> int:
        """The index of the first night at an alert's new level."""
        return bisect_left(self.starts, alert.near)


def hardware(fingerprint: dict[str, str]) -> str:
    """The hardware in words, which distinguishes machines with one host id."""
    cpu, cpus = (format.clean(fingerprint.get(fact, ""), 100) for fact in HARDWARE)
    return ", ".join(filter(None, (cpu, f"{cpus} CPUs" if cpus else "")))


def examine(
    results: Path, nights: Sequence[Night], earlier: Night | None, reports: Sequence[str], left_out: Sequence[str]
) -> Machine:
    """One machine's nights, oldest first. `earlier` as in `trend.watch`."""
    found = watch(nights, earlier)
    points = _points(nights)
    host_id = nights[0].host_id
    folder = names.host_folder(host_id, nights[0].machine)
    starts = [night.started for night in nights]
    run = _loaded(results / nights[-1].path)
    courses = _courses(points, found, [one.name for one in run.session.environments] if run is not None else [])
    return Machine(
        host_id, folder, as_text(results.resolve().name), nights, starts, reports, left_out, found.alerts, found.still,
        courses, _newest(nights, points, run), _meanings(run),
    )  # fmt: skip


_Key = tuple[str, str, str]
"""Name, baseline and unit of a course, as in a series of the trend."""


class _Points(NamedTuple):
    """One cost: nights, numbers and the ends of their intervals."""

    places: list[int]
    numbers: list[float]
    lows: list[float]
    highs: list[float]


def _points(nights: Sequence[Night]) -> dict[_Key, _Points]:
    found: dict[tuple[str, str, str, str, str], _Points] = {}
    for index, night in enumerate(nights):
        baseline = night.baseline
        for point in night.points:
            environment, ratio = point.environment, point.ratio
            relative = not math.isnan(ratio) and environment != baseline
            against, unit = (baseline, "") if relative else ("", point.unit)
            key = (point.scenario, point.metric, environment, against, unit)
            one = found.get(key)
            if one is None:
                one = found[key] = _Points([], [], [], [])
            one.places.append(index)
            one.numbers.append(ratio if relative else point.value)
            one.lows.append(point.low)
            one.highs.append(point.high)
    return {(f"{key[0]}.{key[1]}/{key[2]}", *key[3:]): one for key, one in found.items()}


def _courses(points: dict[_Key, _Points], found: Watched, order: Sequence[str]) -> dict[str, list[Course]]:
    """By metric, the most recently measured first, with the baseline's values before the ratios, in the order of the
    newest record. For a cost with ratios, values appear only if the trend watches them."""
    watched = {(one.name, one.against, one.unit) for one in found.series}
    ratios = {name for name, against, _ in points if against}
    begun = _beginnings(found)
    courses: dict[str, list[Course]] = {}
    ranks = {environment: rank for rank, environment in enumerate(order)}

    def place_of(entry: tuple[_Key, _Points]) -> tuple[int, bool, int]:
        (name, against, _), one = entry
        return -one.places[-1], bool(against), ranks.get(name.partition("/")[2], len(ranks))

    for key, (places, numbers, lows, highs) in sorted(points.items(), key=place_of):
        name, against, unit = key
        if not against and name in ratios and key not in watched:
            continue
        metric, _, environment = name.partition("/")
        known = courses.setdefault(metric, [])
        place = names.place(environment, sum(one.environment == environment for one in known))
        levels = _levels(places, numbers, begun.get(key, []))
        known.append(Course(metric, environment, against, unit, places, numbers, levels, place, lows, highs))
    return dict(sorted(courses.items()))


def _beginnings(found: Watched) -> dict[_Key, list[int]]:
    """The nights on which a level begins; unconfirmed changes begin none."""
    begun: dict[_Key, list[int]] = {}
    for series, move in found.moves:
        if move.stands:
            places = begun.setdefault((series.name, series.against, series.unit), [])
            places += [move.near, *([move.back[0]] if move.back is not None else [])]
    return begun


def _levels(places: list[int], numbers: list[float], begun: Iterable[int]) -> list[Level]:
    edges = sorted({0, *(bisect_left(places, night) for night in begun), len(places)})
    return [Level(places[first], places[end - 1], median(numbers[first:end])) for first, end in pairwise(edges)]


def _loaded(folder: Path) -> Results | None:
    """A run; None if it was removed meanwhile."""
    with suppress(StoreError):
        return load(folder)
    return None


def _newest(nights: Sequence[Night], points: dict[_Key, _Points], run: Results | None) -> dict[tuple[str, str], Newest]:
    estimates = {(one.name, one.environment): one for one in run.estimates} if run is not None else {}
    last: dict[str, int] = {}
    for (name, _, _), one in points.items():
        last[name] = max(one.places[-1], last.get(name, 0))
    found = {}
    for index in set(last.values()):
        for point in nights[index].points:
            key = (f"{point.scenario}.{point.metric}", point.environment)
            if last[f"{key[0]}/{key[1]}"] == index:
                found[key] = Newest(index, point, estimates.get(key) if index == len(nights) - 1 else None)
    return found


def _meanings(run: Results | None) -> dict[str, str]:
    scenarios = run.session.scenarios if run is not None else []
    return {f"{scenario.name}.{metric.name}": metric.meaning for scenario in scenarios for metric in scenario.metrics}
