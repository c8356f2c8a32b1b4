"""Comparison of hosts of one kind, and the odd one among them.

Hosts are compared by their ratios, each to the host's own baseline. A host's value of a cost is the median of its
newest nights with its current software. Peers are the hosts with the same hardware and baseline.

The rule for the odd one needs no estimate of how noise is distributed, only that hosts are alike if nothing is wrong.
Per cost, each host's distance from the peers' median is measured in units of the usual distance. A host's oddness is
its third largest distance, so that one or two outliers do not matter. It is named if it is several times odder than any
host that is not named. Outliers hardly survive the median of three nights, so the required factor is smaller then. How
often the rule is wrong, and what it misses, are promises G27 and G28.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from isobench.core.errors import StoreError
from isobench.nights.trend import by_machine
from isobench.results.record import HARDWARE
from isobench.results.store import load_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from isobench.nights.history import History, Night

SCHEMA = 1
Cost = tuple[str, str, str]
"""Scenario, metric, environment."""
NIGHTS = 5
"""Newest nights of a host that count."""
FEWEST = 5
"""The fewest hosts of a kind among which one can be named as odd; at most a quarter can."""
_PLACE = 3
"""The rank of the distance, from the largest, by which a host is judged."""
_FEW, _FEW_NIGHTS = 15, 3
_FACTORS = {(False, False): 2.0, (False, True): 3.5, (True, False): 3.0, (True, True): 5.0}
"""Whether hosts and nights are few -> how many times odder than the next host."""
_LEAST = 0.005
"""The smallest usual distance, of logarithms: a count of pages is the same on all hosts."""
_SHRUNK = 10
"""Weight of the usual distance of all costs, in hosts."""
BAND = math.log(1.05)
"""Smaller distances are ignored."""
_PASSING = ("load",)
"""Facts that change all the time."""


class Spread(msgspec.Struct, frozen=True):
    """One cost over hosts of a kind: ratios to each host's own baseline."""

    scenario: str
    metric: str
    environment: str
    hosts: int
    median: float
    q25: float
    q75: float
    least: float
    least_host: str
    most: float
    most_host: str
    by_software: list[float | None]
    """The median of the hosts with each of `Peers.software`, in that order; null where none has this cost."""


class Software(msgspec.Struct, frozen=True):
    """Hosts of a kind with the same software. `facts` are those of the fingerprint that not all hosts of the kind
    share."""

    facts: dict[str, str]
    hosts: list[str]


class OddCost(msgspec.Struct, frozen=True):
    """A cost in which an odd host is far from its peers; `usual` is their median."""

    scenario: str
    metric: str
    environment: str
    ratio: float
    usual: float


class OddFact(msgspec.Struct, frozen=True):
    """A fact in which an odd host differs from more than half of its peers; empty where there is none."""

    name: str
    value: str
    usual: str


class Odd(msgspec.Struct, frozen=True):
    """A host that is unlike its peers, in which costs, the furthest first, and in which facts it differs."""

    host_id: str
    costs: list[OddCost]
    facts: list[OddFact]


class Peers(msgspec.Struct, frozen=True):
    """Hosts with the same hardware and baseline. `odd` names those that are unlike the others."""

    hardware: str
    baseline: str
    hosts: list[str]
    software: list[Software]
    costs: list[Spread]
    odd: list[Odd]


class Fleet(msgspec.Struct, frozen=True):
    """All hosts of a results folder. `problems` are runs that were left out, with the reason."""

    schema: int
    nights: int
    peers: list[Peers]
    problems: list[str]


def evaluate(found: History, results: Path) -> Fleet:
    """The hosts of a history, in kinds, those with most hosts first."""
    return Fleet(SCHEMA, len(found.nights), peers(found.nights, results), found.problems)


def peers(nights: Sequence[Night], results: Path) -> list[Peers]:
    """All kinds of hosts; `nights` is a history's, oldest first."""
    kinds: dict[tuple[str, str], list[list[Night]]] = {}
    for of_one in by_machine(nights).values():
        newest = of_one[-1]
        same = [one for one in of_one if (one.fingerprint, one.baseline) == (newest.fingerprint, newest.baseline)]
        hardware = ", ".join(filter(None, (newest.fingerprint.get(fact, "") for fact in HARDWARE)))
        kinds.setdefault((hardware, newest.baseline), []).append(same[-NIGHTS:])
    found = [_peers(hardware, baseline, hosts, results) for (hardware, baseline), hosts in kinds.items()]
    return sorted(found, key=lambda one: (-len(one.hosts), one.hardware, one.baseline))


def _peers(hardware: str, baseline: str, hosts: list[list[Night]], results: Path) -> Peers:
    names = [nights[-1].host_id for nights in hosts]
    costs, ratios = table([ratios_of(nights) for nights in hosts])
    software = _software([nights[-1] for nights in hosts])
    odd = odd_hosts(ratios, min(map(len, hosts)))
    usual = [place for place in range(len(hosts)) if place not in odd]
    told = [
        Odd(names[place], far, _differences(results, [hosts[one][-1] for one in [place, *usual]], far))
        for place in odd
        if (far := _far(costs, ratios[place], ratios[usual]))
    ]
    return Peers(hardware, baseline, names, software, _spreads(costs, ratios, names, software), told)


def ratios_of(nights: Sequence[Night]) -> dict[Cost, float]:
    """The logarithm of each ratio that a host's newest night has: the median over these nights."""
    found: dict[Cost, list[float]] = {}
    for night in nights:
        for point in night.points:
            if not math.isnan(point.ratio):
                found.setdefault((point.scenario, point.metric, point.environment), []).append(math.log(point.ratio))
    newest = {(point.scenario, point.metric, point.environment) for point in nights[-1].points}
    return {cost: float(np.median(values)) for cost, values in found.items() if cost in newest}


def table(hosts: Sequence[Mapping[Cost, float]]) -> tuple[list[Cost], np.ndarray]:
    """All costs, and the hosts' values: a row for each host, NaN where it lacks one."""
    costs = list(dict.fromkeys(cost for host in hosts for cost in host))
    return costs, np.array([[host.get(cost, math.nan) for cost in costs] for host in hosts]).reshape(len(hosts), -1)


def odd_hosts(ratios: np.ndarray, nights: int) -> list[int]:
    """The rows of odd hosts, the oddest first. `nights` is the least number of nights that any host has."""
    known = ratios[:, (~np.isnan(ratios)).sum(axis=0) >= FEWEST]
    hosts = len(known)
    if hosts < FEWEST or known.shape[1] < _PLACE:
        return []
    away = np.nan_to_num(np.abs(known - np.nanmedian(known, axis=0)))
    oddness = np.maximum(_third(away / _usual(known)), 1.0)
    order = np.argsort(-oddness, kind="stable")
    factor = _FACTORS[hosts < _FEW, nights < _FEW_NIGHTS]
    named = [n for n in range(1, hosts // 4 + 1) if oddness[order[n - 1]] > factor * oddness[order[n]]]
    return [int(place) for place in order[: max(named, default=0)] if _third(away)[place] > BAND]


def _third(distances: np.ndarray) -> np.ndarray:
    """Each host's third largest."""
    return np.asarray(np.sort(distances, axis=1)[:, -_PLACE])


def _usual(known: np.ndarray) -> np.ndarray:
    """The usual distance in each cost: its median, shrunk towards that of all costs, the more the fewer hosts there
    are."""
    own = 1.4826 * np.nanmedian(np.abs(known - np.nanmedian(known, axis=0)), axis=0)
    weight = len(known) / (len(known) + _SHRUNK)
    return np.asarray(np.maximum(np.sqrt(weight * own**2 + (1 - weight) * np.median(own) ** 2), _LEAST))


def _far(costs: Sequence[Cost], ours: np.ndarray, others: np.ndarray) -> list[OddCost]:
    """The costs in which a host's distance is more than one and a half times that of any peer, the largest first."""
    found = []
    for column in np.flatnonzero((~np.isnan(others)).sum(axis=0) >= FEWEST - 1).tolist():
        usual, value = float(np.nanmedian(others[:, column])), float(ours[column])
        furthest = float(np.nanmax(np.abs(others[:, column] - usual)))
        if abs(value - usual) > max(BAND, 1.5 * furthest):
            found.append((abs(value - usual), OddCost(*costs[column], ratio=math.exp(value), usual=math.exp(usual))))
    return [cost for _, cost in sorted(found, key=lambda one: -one[0])]


def _software(newest: Sequence[Night]) -> list[Software]:
    """Hosts by their software, the most frequent first, each with the facts that not all share."""
    facts = [{k: v for k, v in night.fingerprint.items() if k not in HARDWARE} for night in newest]
    names = sorted({name for one in facts for name in one})
    differing = [name for name in names if len({one.get(name, "") for one in facts}) > 1]
    groups: dict[tuple[str, ...], list[str]] = {}
    for night, one in zip(newest, facts, strict=True):
        groups.setdefault(tuple(one.get(name, "") for name in differing), []).append(night.host_id)
    found = [Software(dict(zip(differing, values, strict=True)), hosts) for values, hosts in groups.items()]
    return sorted(found, key=lambda one: -len(one.hosts))


def _spreads(
    costs: Sequence[Cost], ratios: np.ndarray, names: Sequence[str], software: Sequence[Software]
) -> list[Spread]:
    rows = [[place for place, name in enumerate(names) if name in one.hosts] for one in software]
    middle = np.exp(np.nanquantile(ratios, (0.25, 0.5, 0.75), axis=0)) if costs else np.empty((3, 0))
    groups = [np.nanmedian(ratios[of_one], axis=0) if np.isfinite(ratios[of_one]).any() else None for of_one in rows]
    found = []
    for column, cost in enumerate(costs):
        values = ratios[:, column]
        least, most = int(np.nanargmin(values)), int(np.nanargmax(values))
        q25, median, q75 = middle[:, column].tolist()
        medians = [None if one is None or np.isnan(one[column]) else math.exp(one[column]) for one in groups]
        spread = Spread(
            *cost,
            hosts=int((~np.isnan(values)).sum()),
            median=median,
            q25=q25,
            q75=q75,
            least=math.exp(values[least]),
            least_host=names[least],
            most=math.exp(values[most]),
            most_host=names[most],
            by_software=medians,
        )
        found.append(spread)
    return found


def _differences(results: Path, nights: Sequence[Night], costs: Sequence[OddCost]) -> list[OddFact]:
    """The facts in which the first differs from more than half of the others."""
    environments = {cost.environment for cost in costs}
    ours, *others = [_facts(results, night, environments) for night in nights]
    found = []
    for name in sorted({*ours, *(name for one in others for name in one)}):
        usual, count = Counter(one.get(name, "") for one in others).most_common(1)[0]
        if 2 * count > len(others) and ours.get(name, "") != usual:
            found.append(OddFact(name, ours.get(name, ""), usual))
    return found


def _facts(results: Path, night: Night, environments: set[str]) -> dict[str, str]:
    """What is known of a host: its fingerprint, its facts, and those of some environments."""
    try:
        session = load_session(results / night.path)
    except StoreError:
        return dict(night.fingerprint)
    of_environments = {
        f"{one.name}: {name}": value
        for one in session.environments
        if one.name in environments
        for name, value in one.facts.items()
    }
    passing = {name: value for name, value in session.host.items() if name not in _PASSING}
    return {**of_environments, **passing, **night.fingerprint}
