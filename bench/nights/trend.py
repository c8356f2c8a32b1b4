"""Changes in the nights of a machine: which cost moved to another level, near which night, and whether that is new.

Each cost has two series (docs/method.md): the ratio to each night's own baseline, in which the host's speed cancels
out, and the baseline's own value, which shows it. A ratio to another baseline, another unit, or a value without a
baseline is a separate series. A series continues when the kernel or an engine changes: a step that comes with such a
change is what users look for, and the alert names it as the likely cause. Another machine (`record.machine`) starts a
new series.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from isobench.nights.review import borne_out, dated
from isobench.nights.steps import Level, beginnings, steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from isobench.nights.history import History, Night

SCHEMA = 1
"""Version of the document; raised when a field changes its meaning."""
FEWEST = 10
"""Nights that a series must have to be watched; with so few, only large steps are detected."""
TOGETHER = 3
"""Changes at most so many nights apart count as one, or as cause and effect."""
_NAMED = 3
"""Costs of the baseline that one alert names."""
_LATELY = 10
"""A fingerprint that also occurred within so many nights before is not a change but one of several that alternate."""
_LEAST = {"byte": 4096.0, "second": 1e-9}
"""The substitute for a value of zero or less in a series of logarithms, by unit: a page, a nanosecond."""

Kind = Literal["environment", "host", "fingerprint"]
State = Literal["new", "known", "recovered", "withdrawn"]


class Alert(msgspec.Struct, frozen=True):
    """One confirmed change of a machine's nights."""

    kind: Kind
    """environment: a cost against the baseline; host: the baseline itself; fingerprint: another kernel, CPU, engine."""
    host_id: str
    near: str
    """Start of the first night at the new level, as far as it can be determined."""
    confirmed: str
    """Start of the night that confirmed the change."""
    state: State
    """new: confirmed since the last trend of an earlier night; recovered: back at the old level; withdrawn: it was
    certain then, but the nights since do not confirm it."""
    news: bool
    """Whether to report it now: it is new, or its recovery is."""
    what: list[str]
    """The costs that changed ("startup.ready/docker"), or the facts of the fingerprint."""
    change: float | None
    """New level to old, the median over `what`; null for a fingerprint."""
    text: str
    """The same as a sentence."""
    cause: list[str] = []
    """What changed in the fingerprint near that night: the likely cause."""
    machine: str = ""
    """The machine: host id and hardware, since machines made from one image may share a host id."""


class Trend(msgspec.Struct, frozen=True):
    """What `isobench trend --json` prints (docs/trend.schema.json)."""

    schema: int
    nights: int
    hosts: list[str]
    series: int
    """Number of watched series of all machines: those with at least ten nights, one of them among the machine's last
    ten."""
    alerts: list[Alert]
    problems: list[str]
    """Run folders that could not be used, and why."""


class Told(msgspec.Struct, frozen=True):
    """A change that was reported as new on some night."""

    kind: Kind
    what: list[str]
    near: str
    recovered: bool


class Seen(NamedTuple):
    """The earlier trends of one machine."""

    before: str
    """Start of the newest night, before the current one, for which there was a trend."""
    told: Sequence[Told] = ()
    """What had been reported until then."""


class Series(NamedTuple):
    """One cost of a machine over its nights, as it is watched: ratios to one baseline, or values of one unit."""

    name: str
    against: str
    """The baseline of a ratio; empty for a value."""
    unit: str
    """The unit of a value; empty for a ratio."""
    host: bool
    nights: list[int]
    """Indices of the machine's nights that have it."""
    logs: np.ndarray


class Move(NamedTuple):
    """One cost that moved: indices of the first night at the new level and of the confirming one, by how much (a
    logarithm), the same indices of its return if there is one, and whether it is confirmed. It began on a night after
    `since`, and not after `until`."""

    near: int
    sure: int
    since: int
    until: int
    name: str
    against: str
    size: float
    back: tuple[int, int] | None
    stands: bool


class Watched(NamedTuple):
    """One machine's nights: its series and alerts."""

    alerts: list[Alert]
    series: list[Series]
    """All that have at least ten nights."""
    moves: list[tuple[Series, Move]]
    still: int
    """Series that are watched now: one of their nights is among the machine's last ten."""


class _Turn(NamedTuple):
    """A night on which facts of the fingerprint changed."""

    night: int
    """Its index."""
    facts: list[str]


def evaluate(history: History, seen: Mapping[str, Seen] | None = None) -> Trend:
    """The alerts of all machines, oldest first. `seen` has for each machine what earlier trends reported; without it
    only what the newest night confirmed is new."""
    alerts: list[Alert] = []
    hosts = sorted({night.host_id for night in history.nights})
    watched = 0
    for nights in by_machine(history.nights).values():
        found = watch(nights, before(history.nights, nights), (seen or {}).get(nights[0].machine))
        watched += found.still
        alerts += found.alerts
    alerts.sort(key=_order)
    return Trend(SCHEMA, len(history.nights), hosts, watched, alerts, history.problems)


def watch(nights: Sequence[Night], earlier: Night | None, seen: Seen | None = None) -> Watched:
    """One machine's nights. `earlier` is the last night of another machine with the same host id (`before`)."""
    teller = _Teller(nights, seen or Seen(nights[-2].started if len(nights) > 1 else ""))
    turns = _turns(nights, earlier)
    alerts = [teller.fingerprint(turn) for turn in turns]
    series = _series(nights)
    moves = list(_moves(series))
    alerts += [teller.moved("environment", [move], turns) for one, move in moves if not one.host]
    alerts += [teller.moved("host", cluster, turns) for cluster in _clusters(move for one, move in moves if one.host)]
    still = sum(one.nights[-1] >= len(nights) - FEWEST for one in series)
    return Watched(sorted(alerts, key=_order), series, moves, still)


def before(everything: Iterable[Night], nights: Sequence[Night]) -> Night | None:
    """The last night of this host id before the first of these, which was another machine's."""
    earlier = [n for n in everything if n.host_id == nights[0].host_id and n.started < nights[0].started]
    return earlier[-1] if earlier else None


def _order(alert: Alert) -> tuple[str, str, Kind, list[str]]:
    return (alert.near, alert.machine, alert.kind, alert.what)


def by_machine(nights: Iterable[Night]) -> dict[str, list[Night]]:
    found: dict[str, list[Night]] = {}
    for night in nights:
        found.setdefault(night.machine, []).append(night)
    return dict(sorted(found.items()))


def changes(logs: np.ndarray) -> list[Level]:
    """The confirmed changes of one series of logarithms, nights in order, as if nothing else were watched."""
    return steps([np.asarray(logs, dtype=np.float64)])[0]


def _series(nights: Sequence[Night]) -> list[Series]:
    """Every cost of a machine: its ratio to its night's baseline, or its value where that has none.

    A cost that has ratios has no series of values for nights without the baseline: values show the host, and the
    baseline's series are for that.
    """
    points: dict[tuple[str, str, str, str, str, bool], tuple[list[int], list[float]]] = {}
    for index, night in enumerate(nights):
        baseline = night.baseline
        for point in night.points:
            environment, ratio = point.environment, point.ratio
            host = environment == baseline
            if host or math.isnan(ratio):
                number = max(point.value, _LEAST.get(point.unit, 1e-9))
                key = (point.scenario, point.metric, environment, point.unit, "", host)
            else:
                number, key = ratio, (point.scenario, point.metric, environment, "", baseline, False)
            known = points.get(key)
            if known is None:
                known = points[key] = ([], [])
            known[0].append(index)
            known[1].append(number)
    ratios = {key[:3] for key, (places, _) in points.items() if key[4] and len(places) >= FEWEST}
    return [
        Series(f"{key[0]}.{key[1]}/{key[2]}", against, unit, host, places, np.log(np.array(values)))
        for key, (places, values) in points.items()
        for unit, against, host in [key[3:]]
        if len(values) >= FEWEST and (against or host or key[:3] not in ratios)
    ]


def _moves(series: Sequence[Series]) -> Iterable[tuple[Series, Move]]:
    """Each change together with the return that reversed it, which is then not a change of its own; a return from that
    return is one. A change that is not confirmed counts as none, and its return, if confirmed, as one."""
    for one, levels in zip(series, steps([s.logs for s in series]), strict=True):
        stand = borne_out(one.logs, levels)
        levels = dated(one.logs, levels, stand)
        told = False
        for index, level in enumerate(levels):
            later = levels[index + 1] if index + 1 < len(levels) else None
            told = not (level.back and ((told and stand[index - 1]) or not stand[index]))
            if not told:
                continue
            taken_back = later is not None and later.back and stand[index] and stand[index + 1]
            back = (one.nights[later.at], one.nights[later.confirmed]) if later is not None and taken_back else None
            size = level.after - level.before
            near, sure = one.nights[level.at], one.nights[level.confirmed]
            first, last = beginnings(one.logs, level, TOGETHER)
            since, until = one.nights[first - 1], one.nights[last]
            yield one, Move(near, sure, since, until, one.name, one.against, size, back, stand[index])


def _clusters(moved: Iterable[Move]) -> Iterable[list[Move]]:
    """The baseline's changes, grouped if they are within a few nights and agree: up or down, reversed or not, confirmed
    or not."""
    alike: dict[tuple[bool, ...], list[list[Move]]] = {}
    for one in sorted(moved, key=lambda move: (move.near, move.sure, move.name)):
        clusters = alike.setdefault((one.size > 0, one.back is None, one.stands), [])
        if clusters and one.near - clusters[-1][0].near <= TOGETHER:
            clusters[-1].append(one)
        else:
            clusters.append([one])
    return [cluster for clusters in alike.values() for cluster in clusters]


def _turns(nights: Sequence[Night], earlier: Night | None) -> list[_Turn]:
    """The nights with another fingerprint, and what changed, "what: old → new".

    A fact that a night did not record (QEMU was not used) does not count as changed. Alternating fingerprints are
    reported once each. `earlier` is the last night of another machine with the same host id.
    """
    known: dict[str, str] = dict(earlier.fingerprint) if earlier is not None else {}
    last: dict[tuple[str, str], int] = {}
    turns = []
    for index, night in enumerate(nights):
        facts = [
            f"{key}: {known[key]} → {text}"
            for key, text in sorted(night.fingerprint.items())
            if known.get(key, text) != text and index - last.get((key, text), -_LATELY - 1) > _LATELY
        ]
        if facts:
            turns.append(_Turn(index, facts))
        known.update(night.fingerprint)
        last.update(dict.fromkeys(night.fingerprint.items(), index))
    return turns


def _may_cause(turn: _Turn, moves: Sequence[Move]) -> bool:
    """Whether most of these could have begun on that night. A later turn is not a cause; nor is an earlier one if the
    nights in between were as before."""
    return 2 * sum(move.since < turn.night <= move.until for move in moves) >= len(moves)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more of the baseline's costs" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class _Teller:
    """Makes the alerts of one machine's changes, and decides which of them are new."""

    def __init__(self, nights: Sequence[Night], seen: Seen) -> None:
        self._nights = nights
        self._starts = [night.started for night in nights]
        self._seen = seen

    def moved(self, kind: Kind, moves: list[Move], turns: Sequence[_Turn]) -> Alert:
        near = round(median(move.near for move in moves))
        possible = [turn for turn in turns if _may_cause(turn, moves)]
        turn = min(possible, key=lambda one: abs(one.night - near), default=None)
        sure = self._nights[min(move.sure for move in moves)].started
        backs = [move.back for move in moves]
        returns = [back for back in backs if back is not None] if all(backs) else []
        since = self._nights[max(at for at, _ in returns)].started if returns else ""
        back_sure = self._nights[max(certain for _, certain in returns)].started if returns else ""
        change = math.exp(min(median(move.size for move in moves), 700.0))
        what = [move.name for move in moves]
        text = f"the host itself: {_listed(what)}" if kind == "host" else what[0]
        text += f" moved by {change - 1:+.1%}"
        text += f" against {moves[0].against}" if moves[0].against else ""
        text += f" near {self._nights[near].started}"
        text += f", likely because of {'; '.join(turn.facts)}" if turn is not None else ""
        text += f"; back at the old level since {since}" if since else ""
        stands = any(move.stands for move in moves)
        text += "" if stands else "; the nights since do not confirm it"
        facts = turn.facts if turn is not None else []
        return self._alert(kind, near, sure, back_sure, what, change, text, facts, stands)

    def fingerprint(self, turn: _Turn) -> Alert:
        start = self._nights[turn.night].started
        text = f"the host changed at {start}: {'; '.join(turn.facts)}"
        what = [one.partition(":")[0] for one in turn.facts]
        return self._alert("fingerprint", turn.night, start, "", what, None, text, [])

    def _alert(
        self, kind: Kind, near: int, sure: str, back: str, what: list[str], change: float | None, text: str,
        cause: list[str], stands: bool = True,
    ) -> Alert:  # fmt: skip
        night = self._nights[near]
        told = any(self._same(one, kind, what, near, bool(back)) for one in self._seen.told)
        news = stands and (back or sure) > self._seen.before and not told
        state: State = "recovered" if back else "new" if news else "known" if stands else "withdrawn"
        return Alert(kind, night.host_id, night.started, sure, state, news, what, change, text, cause, night.machine)

    def _same(self, told: Told, kind: Kind, what: list[str], near: int, recovered: bool) -> bool:
        """Whether it was the same change: nights that were added or removed since may have moved it by a few."""
        if told.kind != kind or told.recovered != recovered or not set(told.what) & set(what):
            return False
        return abs(bisect_left(self._starts, told.near) - near) <= TOGETHER
