"""Changes in the nights of a host: which cost moved to another level, near which night, and whether that is news.

Two series a cost (METHOD): the ratio to each night's own baseline, which cancels the host's speed, and the baseline's
own value, which shows the host's. Nights with another fingerprint of the host begin a new segment; nothing is compared
across it. Within a segment ruptures places the changes (penalised least squares, Arlot, Celisse and Harchaoui, JMLR 20,
2019); what is ours is the scale they are measured in, and the confirmation before an alert is raised.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.analysis.history import History, Night, Point

SCHEMA = 1
"""Version of the document; raised when a field changes its meaning."""
PENALTY = 8.0
"""A change has to gain this much, in squared standard errors; with more series watched, more (see `penalty`). Chosen by
simulation: the alarms and delays that promises G5 and G6 allow."""
FEWEST_BEFORE, FEWEST_AFTER = 10, 3
"""Nights at the old level that make it one, and at the new level that confirm it."""
SMALLEST = math.log(1.01)
"""Changes below 1 % raise no alert, however certain: nobody would act on them."""
_MEDIAN_ERROR = 1.2533
"""Standard error of a median to that of a mean (root of pi/2)."""
_MOST_CORRELATED = 0.8
_QUIETEST = 0.001
"""The scale of a series that hardly moves at all (memory, to the byte the same every night) is taken as 0.1 %."""
_TOGETHER = 3
"""Changes of the baseline's costs that are at most so many nights apart are one change of the host."""
_CLIP = 2.0
"""A night further from its neighbours' median than this many standard deviations is taken to be that far: one
disturbed night is no new level."""

_MEDIANS_APART = 2.0
"""The medians before and after, too, have to be so many of their standard errors apart: unlike the means that the gain
is about they do not follow a few spikes."""
_FEW_NIGHTS = 3.0
"""Of n nights the correlation of neighbours is known so badly that this over n is added to it."""

Kind = Literal["environment", "host", "fingerprint"]
State = Literal["new", "known", "recovered"]


class Alert(msgspec.Struct, frozen=True):
    """One confirmed change of a host's nights."""

    kind: Kind
    """environment: a cost against the baseline; host: the baseline itself; fingerprint: another kernel, CPU, engine."""
    host_id: str
    near: str
    """Start of the first night at the new level, as far as that can be told."""
    confirmed: str
    """Start of the night from which on the change was certain."""
    state: State
    """new: confirmed since the trend was last asked about an earlier night; recovered: back at the old level since."""
    news: bool
    """Whether this is to be reported now: it is new, or the recovery is."""
    what: list[str]
    """The costs that changed ("startup.ready/docker"), or the facts of the fingerprint."""
    change: float | None
    """New level to old, the median over `what`; null for a fingerprint."""
    text: str
    """The same as a sentence."""


class Trend(msgspec.Struct, frozen=True):
    """What `isobench trend --json` prints (docs/trend.schema.json)."""

    schema: int
    nights: int
    hosts: list[str]
    series: int
    alerts: list[Alert]
    problems: list[str]
    """Run folders that could not be used, and why."""


class Level(NamedTuple):
    """A confirmed change within one series: the index of its first night, and the levels (logarithms) around it."""

    at: int
    before: float
    after: float
    confirmed: int
    """Index of the night that confirmed it."""


class _Series(NamedTuple):
    name: str
    host: bool
    nights: list[int]
    logs: np.ndarray


class _Move(NamedTuple):
    """One cost that moved: indices of the first night at the new level and of the confirming one, by how much (a
    logarithm), and the start of the night that confirmed its return ("" where it has not returned)."""

    near: int
    sure: int
    name: str
    size: float
    back: str


def evaluate(history: History, seen: dict[str, str] | None = None) -> Trend:
    """The alerts of all hosts, oldest first. `seen` has by host the start of the newest night that an earlier trend
    has told about; without it only what the newest night confirmed is news."""
    alerts: list[Alert] = []
    hosts = sorted({night.host_id for night in history.nights})
    watched = 0
    for host in hosts:
        nights = [night for night in history.nights if night.host_id == host]
        told = (seen or {}).get(host) or (nights[-2].started if len(nights) > 1 else "")
        for begin, end, changed in _segments(nights):
            if changed:
                alerts.append(_fingerprint_alert(nights[begin], changed, told))
            series = _series(nights[begin:end])
            watched = max(watched, len(series))
            alerts += _segment_alerts(nights[begin:end], series, told)
    alerts.sort(key=lambda alert: (alert.near, alert.host_id, alert.what))
    return Trend(SCHEMA, len(history.nights), hosts, watched, alerts, history.problems)


def changes(logs: np.ndarray, gain: float = PENALTY) -> list[Level]:
    """The confirmed changes of one series of logarithms, nights in order."""
    found = []
    for at, before, after in _confirmed(logs, gain):
        end = next(
            (
                n
                for n in range(at + FEWEST_AFTER, len(logs))
                if any(abs(other - at) <= _TOGETHER for other, _, _ in _confirmed(logs[:n], gain))
            ),
            len(logs),
        )
        found.append(Level(at, before, after, end - 1))
    return found


def penalty(series: int) -> float:
    """The gain asked of a change where so many series are watched: the error of all together stays that of one."""
    return PENALTY + 2 * math.log(max(1, series))


def scale(logs: np.ndarray) -> tuple[float, float]:
    """Standard deviation of a series around its level, and correlation r of neighbouring nights, both from differences
    of nights, so that steps hardly matter: var(x[t+1]-x[t]) is 2 s² (1-r), var(x[t+k]-x[t]) is 2 s² (1-r^k)."""
    near, far = _variance(logs, 1), (_variance(logs, 3) + _variance(logs, 4) + _variance(logs, 5)) / 3
    if near == 0 or far == 0:
        return _QUIETEST, 0.0
    correlation = min(max(1 - near / far, 0.0), _MOST_CORRELATED)
    return max(_QUIETEST, math.sqrt(near / 2 / (1 - correlation))), correlation


def _confirmed(logs: np.ndarray, gain: float) -> list[tuple[int, float, float]]:
    """(first night, level before, level after) of each change that was there on the night before, too."""
    found = _found(logs, gain)
    earlier = _found(logs[:-1], gain) if found else []
    return [
        (at, before, after)
        for at, before, after in found
        if any(abs(at - other) <= _TOGETHER and (after > before) == (new > old) for other, old, new in earlier)
    ]


def _found(logs: np.ndarray, gain: float) -> list[tuple[int, float, float]]:
    """(first night, level before, level after) of each change that ruptures places and that stands up to a look."""
    if len(logs) < FEWEST_BEFORE + FEWEST_AFTER:
        return []
    deviation, known = scale(logs)
    correlation = min(known + _FEW_NIGHTS / len(logs), _MOST_CORRELATED)
    error = deviation * math.sqrt((1 + correlation) / (1 - correlation))  # of a mean, times the root of its nights
    scaled = _clip(logs, deviation) / error
    if _largest_gain(scaled) < gain:
        return []
    import ruptures

    search = ruptures.KernelCPD(kernel="linear", min_size=FEWEST_AFTER).fit(scaled.reshape(-1, 1))
    ends = [0, *search.predict(pen=gain)]
    found = []
    for begin, at, end in zip(ends, ends[1:], ends[2:], strict=False):
        before, after = float(np.median(logs[begin:at])), float(np.median(logs[at:end]))
        latest = float(np.median(logs[max(at, end - FEWEST_AFTER) : end]))
        stays = (latest - before) * (after - before) > 0 and abs(latest - before) > abs(after - before) / 2
        apart = _MEDIAN_ERROR * error * math.sqrt(1 / (at - begin) + 1 / (end - at)) * _MEDIANS_APART
        if at >= FEWEST_BEFORE and abs(after - before) >= max(SMALLEST, apart) and stays:
            found.append((at, before, after))
    return found


def _variance(logs: np.ndarray, lag: int) -> float:
    """Mean square of the differences of nights `lag` apart, those of steps and spikes clipped."""
    gaps = logs[lag:] - logs[:-lag]
    if len(gaps) == 0:
        return 0.0
    most = 3 * 1.4826 * float(np.median(np.abs(gaps - np.median(gaps))))
    return float(np.mean(np.clip(gaps, -most, most) ** 2))


def _clip(logs: np.ndarray, deviation: float) -> np.ndarray:
    padded = np.pad(logs, 2, mode="edge")
    neighbours = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    return np.asarray(np.clip(logs, neighbours - _CLIP * deviation, neighbours + _CLIP * deviation))


def _largest_gain(scaled: np.ndarray) -> float:
    """What the best single change would gain: a quick look that spares most series the search."""
    n = len(scaled)
    left = np.arange(FEWEST_AFTER, n - FEWEST_AFTER + 1)
    total = np.cumsum(scaled - scaled.mean())
    best = np.max(total[left - 1] ** 2 * n / (left * (n - left)))
    pairs = np.ptp(total) ** 2 * 4 / n  # a bump that returns shows in the range of the sums
    return float(max(best, pairs))


def _segments(nights: Sequence[Night]) -> list[tuple[int, int, list[str]]]:
    """Begin and end of each segment, and the facts that changed before it, "what: old → new".

    A night that did not record a fact, because nobody asked for QEMU, does not say that it changed.
    """
    begins: list[tuple[int, list[str]]] = [(0, [])]
    known: dict[str, str] = {}
    for index, night in enumerate(nights):
        differing = sorted(key for key, text in night.fingerprint.items() if known.get(key, text) != text)
        if differing:
            begins.append((index, [f"{key}: {known[key]} → {night.fingerprint[key]}" for key in differing]))
            known = {}
        known.update(night.fingerprint)
    ends = [*(index for index, _ in begins[1:]), len(nights)]
    return [(begin, end, changed) for (begin, changed), end in zip(begins, ends, strict=True)]


def _series(nights: Sequence[Night]) -> list[_Series]:
    """Every cost of a segment, against its night's baseline where it has a ratio in every night, else by its value.

    What is zero or less in a night has no level to go up from, and is left out.
    """
    found: dict[tuple[str, bool], list[tuple[int, Point]]] = {}
    for index, night in enumerate(nights):
        for point in night.points:
            name = f"{point.scenario}.{point.metric}/{point.environment}"
            found.setdefault((name, point.environment == night.baseline), []).append((index, point))
    series = []
    for (name, host), points in found.items():
        by_value = host or any(math.isnan(point.ratio) for _, point in points)
        values = np.array([point.value if by_value else point.ratio for _, point in points])
        if len(values) >= FEWEST_BEFORE + FEWEST_AFTER and values.min() > 0:
            series.append(_Series(name, host, [index for index, _ in points], np.log(values)))
    return series


def _segment_alerts(nights: Sequence[Night], series: Sequence[_Series], told: str) -> list[Alert]:
    gain = penalty(len(series))
    alerts: list[Alert] = []
    moved: list[_Move] = []
    for one in series:
        for level, recovery in _with_recoveries(changes(one.logs, gain)):
            back = "" if recovery is None else nights[one.nights[recovery.confirmed]].started
            size = level.after - level.before
            move = _Move(one.nights[level.at], one.nights[level.confirmed], one.name, size, back)
            if one.host:
                moved.append(move)
            else:
                alerts.append(_alert("environment", nights, [move], told))
    return alerts + [_alert("host", nights, cluster, told) for cluster in _clusters(moved)]


def _with_recoveries(levels: Sequence[Level]) -> Iterable[tuple[Level, Level | None]]:
    """Each change with the one that took it back, which is then no change of its own."""
    taken = -1
    for index, level in enumerate(levels):
        if index == taken:
            continue
        later = levels[index + 1] if index + 1 < len(levels) else None
        if later is not None and abs(later.after - level.before) < abs(level.after - level.before) / 2:
            taken = index + 1
            yield level, later
        else:
            yield level, None


def _clusters(moved: Iterable[_Move]) -> Iterable[list[_Move]]:
    """The baseline's changes, those of a few neighbouring nights together."""
    cluster: list[_Move] = []
    for one in sorted(moved):
        if cluster and one.near - cluster[0].near > _TOGETHER:
            yield cluster
            cluster = []
        cluster.append(one)
    if cluster:
        yield cluster


def _alert(kind: Kind, nights: Sequence[Night], moves: list[_Move], told: str) -> Alert:
    near = nights[round(median(move.near for move in moves))].started
    confirmed = nights[min(move.sure for move in moves)].started
    change = math.exp(median(move.size for move in moves))
    back = max(move.back for move in moves) if all(move.back for move in moves) else ""
    what = [move.name for move in moves]
    text = f"the host itself: {len(what)} of the baseline's costs" if kind == "host" else what[0]
    text += f" moved by {change - 1:+.1%} near {near}"
    text += f"; back at the old level since {back}" if back else ""
    state: State = "recovered" if back else "new" if confirmed > told else "known"
    news = (back or confirmed) > told
    return Alert(kind, nights[0].host_id, near, confirmed, state, news, what, change, text)


def _fingerprint_alert(night: Night, changed: list[str], told: str) -> Alert:
    new = night.started > told
    text = f"the host changed at {night.started}, and a new segment begins: {'; '.join(changed)}"
    state: State = "new" if new else "known"
    what = [one.partition(":")[0] for one in changed]
    return Alert("fingerprint", night.host_id, night.started, night.started, state, new, what, None, text)
