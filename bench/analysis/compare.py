"""Comparison of two sets of runs: what costs more or less in B than in A, and how certain that is.

Two questions are answered separately. *Did the host change?* compares the baseline's absolute costs. *Did this
environment change?* compares its ratio to its own run's baseline, block by block, so that a slower host is not reported
for every environment; if the baseline lacks the metric, the absolute cost is compared. Every interval includes the
variation between runs (`isobench.estimation.between`), estimated from the runs themselves, from earlier ones of the
host, or else from a floor. The printed interval decides the verdict, as within a run: one outside the band includes
Holm's correction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from isobench.analysis import verdicts
from isobench.analysis.earlier import alike
from isobench.analysis.results import Results
from isobench.analysis.verdicts import verdict
from isobench.core.errors import UsageError
from isobench.core.model import BAND
from isobench.estimation import between, paired, tables
from isobench.estimation.paired import FEWEST_PAIRS
from isobench.host.reasons import as_text
from isobench.results.record import machine
from isobench.results.store import benchmark_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from isobench.estimation.between import Level
    from isobench.estimation.tables import Tables
    from isobench.results.record import Session
    from isobench.results.store import Run

    Cost = tuple[str, str, str, str]
    """Scenario, metric, environment, unit."""
    Key = tuple[str, str, str, str, str]
    """Scenario, metric, environment, unit, and what is compared."""

SCHEMA = 2
"""Version of the document; raised when a field changes its meaning."""
CHANGED = ("slower", "faster", "more", "less")
"""Verdicts of a change: the first two for times, the others for everything else."""
_RATIOS, _VALUES = "ratios to the baseline", "values"
"""What is compared for a cost."""
_NEUTRAL = {"slower": "more", "faster": "less"}


class Change(msgspec.Struct, frozen=True):
    """One cost on both sides. `ratio` is B to A: above 1, B costs more. Missing numbers are None."""

    scenario: str
    metric: str
    environment: str
    unit: Literal["second", "byte"]
    of: Literal["host", "environment"]
    """What the change belongs to: the baseline's absolute costs belong to the host."""
    compared: Literal["values", "ratios to the baseline"]
    n_a: int
    """Blocks of all runs of this side; pairs of blocks if ratios are compared."""
    n_b: int
    a: float
    """Median of A, in seconds or bytes; for several runs the median of their medians."""
    b: float
    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    """p of the claim that the cost moved by more than the band."""
    p_adjusted: float | None
    """p after Holm's correction over all costs for which the same question is asked."""
    verdict: Literal["slower", "faster", "more", "less", "equivalent", "inconclusive"]

    @property
    def benchmark(self) -> str:
        return benchmark_name(self.scenario, self.metric, self.environment)

    @property
    def interval(self) -> tuple[float, float, float]:
        """Ratio, low and high; NaN if there is none."""
        ratio, low, high = (math.nan if one is None else one for one in (self.ratio, self.low, self.high))
        return ratio, low, high

    @property
    def changed(self) -> bool:
        return self.verdict in CHANGED


class RunName(msgspec.Struct, frozen=True):
    """One of the runs."""

    path: str
    run_id: str
    host_id: str
    started: str
    label: str = ""
    pruned: str = ""
    """When its values were removed (`isobench prune`); empty if it has them."""


class HostMove(msgspec.Struct, frozen=True):
    """The change of the host as a whole, from the baseline's absolute times: the median ratio of B to A over so many
    metrics, with its 95 % interval. Missing across hosts."""

    ratio: float
    low: float
    high: float
    metrics: int
    moved: bool
    """Whether it moved by more than the band: the whole interval lies outside."""


class RunNoise(msgspec.Struct, frozen=True):
    """The variation of a cost between unchanged runs, and its source."""

    source: Literal["earlier runs", "runs compared", "floor"]
    """Earlier runs of the host with these fingerprints (and those that are compared, if a side has several); only the
    runs that are compared; or an assumed floor."""
    runs: int
    """The number of these runs; 0 for the floor."""
    deviation: float
    """Standard deviation of one run's ratio, the median over the environments' costs. 0.01 is 1 %."""


class Comparison(msgspec.Struct, frozen=True):
    """What `isobench compare --json` prints (docs/compare.schema.json)."""

    schema: int
    a: list[RunName]
    b: list[RunName]
    across_hosts: bool
    band: float
    """Equivalent means: the whole interval lies between 1/(1 + band) and 1 + band."""
    host: HostMove | None
    noise: RunNoise
    differing: dict[str, tuple[str, str]]
    """Facts of A and B that differ: of the hosts' fingerprints, isobench's version, the profile."""
    only_in_a: list[str]
    only_in_b: list[str]
    lost: list[str]
    """Costs of which A has enough positive blocks to compare, but B too few."""
    changes: list[Change]

    @property
    def concludes(self) -> bool:
        """Whether any cost of an environment has an interval. Otherwise a gate cannot pass."""
        asked = [one for one in self.changes if one.of == "environment"]
        return not asked or any(one.ratio is not None for one in asked)

    def changed(self, of: str = "environment") -> list[Change]:
        """What costs more or less, the largest change first, up or down."""
        found = [one for one in self.changes if one.changed and one.of == of]
        return sorted(found, key=lambda one: -abs(math.log(one.ratio or 1.0)))


class _Cost(NamedTuple):
    """One cost in one run."""

    median: float
    n: int
    level: Level | None
    strayed: float


def compare(
    a: Results | Sequence[Results],
    b: Results | Sequence[Results],
    *,
    band: float = BAND,
    across_hosts: bool = False,
    wanted: Callable[[str], bool] = lambda benchmark: True,
    earlier: Sequence[Run] = (),
) -> Comparison:
    """Compare run `b` with run `a`, or several runs with several. `wanted` chooses by benchmark name. `earlier` runs
    (`isobench.analysis.earlier`) give the variation between runs; those that are compared are not counted among them.

    Raises `UsageError` for runs of two machines without `across_hosts`, for two baselines, and for runs that have no
    cost in common.
    """
    sides = (_once(a), _once(b))
    _check([one.run for side in sides for one in side], across_hosts)
    known = (_known_costs(sides[0], across_hosts, wanted), _known_costs(sides[1], across_hosts, wanted))
    shared = _shared(*known)
    if not shared:
        if any(known):
            raise UsageError("the two have no cost in common", remedy="the same -e and -s for both")
        raise UsageError("neither has a cost to compare", remedy="isobench runs show; a filter that fits its costs")
    costs = (_costs(sides[0], shared), _costs(sides[1], shared))
    runs = ([one.run for one in sides[0]], [one.run for one in sides[1]])
    past = _past(runs, earlier, shared)
    changes, noise = [], None
    for of in ("host", "environment"):
        chosen = [key for key in shared if (key[2] == sides[0][0].baseline) == (of == "host")]
        found, noise = _changes(chosen, costs, past, band, of)
        changes += found
    assert noise is not None
    known_facts = [{key: _fact(side, key) for key in _facts(runs)} for side in runs]
    return Comparison(
        schema=SCHEMA,
        a=[_name(run) for run in runs[0]],
        b=[_name(run) for run in runs[1]],
        across_hosts=across_hosts,
        band=band,
        host=_host(shared, costs, sides[0][0].baseline, band),
        noise=noise,
        differing={
            key: (before, after)
            for (key, before), after in zip(known_facts[0].items(), known_facts[1].values(), strict=True)
            if before != after
        },
        only_in_a=sorted(benchmark_name(*key[:3]) for key in known[0].keys() - known[1].keys()),
        only_in_b=sorted(benchmark_name(*key[:3]) for key in known[1].keys() - known[0].keys()),
        lost=sorted(benchmark_name(*key[:3]) for key in shared if _told(costs[0][key]) and not _told(costs[1][key])),
        changes=changes,
    )


def _told(costs: list[_Cost]) -> bool:
    """Whether a run of this side has a level of a cost."""
    return any(cost.level for cost in costs)


def one_machine(a: Run, b: Run) -> bool:
    """Whether the absolute values of two runs may be compared."""
    return machine(a.session.host_id, a.session.fingerprint) == machine(b.session.host_id, b.session.fingerprint)


def _once(side: Results | Sequence[Results]) -> list[Results]:
    """Each run once, even if it is named twice."""
    listed = [side] if isinstance(side, Results) else list(side)
    return list({(one.session.run_id, one.run.path.resolve()): one for one in listed}.values())


def _check(runs: list[Run], across_hosts: bool) -> None:
    first = runs[0].session
    for run in runs[1:]:
        if not across_hosts and not one_machine(runs[0], run):
            one, two = (machine(s.host_id, s.fingerprint) for s in (first, run.session))
            raise UsageError(
                f"the runs are of two hosts ({one}; {two})",
                remedy="--across-hosts compares ratios to each run's own baseline",
            )
        if run.session.baseline != first.baseline:
            both = f"{first.baseline}, {run.session.baseline}"
            raise UsageError(f"the runs have two baselines ({both}): their ratios differ in meaning")


def _known_costs(side: list[Results], relative: bool, wanted: Callable[[str], bool]) -> dict[Cost, bool]:
    """Every cost of this side with its unit, and whether a run has its ratio to the baseline. With `relative`, only
    costs with a ratio."""
    found: dict[Cost, bool] = {}
    for one in side:
        for key, cost in one.costs.items():
            ratio = cost.pairs > 0
            if not cost.control and (ratio or not relative) and wanted(benchmark_name(*key)):
                known = (*key, cost.unit)
                found[known] = found.get(known, False) or ratio
    return found


def _shared(a: dict[Cost, bool], b: dict[Cost, bool]) -> list[Key]:
    """The costs that both sides have: compared by ratios if both have them, else by values, so that a baseline that is
    missing from one side excludes no other cost."""
    return [(*cost, _RATIOS if a[cost] and b[cost] else _VALUES) for cost in sorted(a.keys() & b.keys())]


def _costs(side: list[Results], keys: list[Key]) -> dict[Key, list[_Cost]]:
    """These costs of one side, run by run."""
    found: dict[Key, list[_Cost]] = {key: [] for key in keys}
    for one in side:
        for key, cost in _of_run(one, keys):
            found[key].append(cost)
    return found


def _of_run(results: Results, keys: list[Key]) -> Iterable[tuple[Key, _Cost]]:
    for key in keys:
        cost = results.costs.get(key[:3])
        if cost is None or cost.unit != key[3]:
            continue
        if key[4] == _VALUES:
            yield key, _Cost(cost.median, cost.taken, results.value_level(key[:3]), 0.0)
        elif cost.pairs:
            yield key, _Cost(cost.median, cost.pairs, cost.ratio, cost.strayed)


def _centres(run: Run, keys: list[Key]) -> Iterable[tuple[Key, float]]:
    """The centres of the same costs: for the spread between runs, the error of each is not needed."""
    if run.session.pruned is not None:
        costs = dict(_of_run(Results(run), keys))
        return ((key, cost.level.centre) for key, cost in costs.items() if cost.level is not None)
    known = tables.from_run(run)
    ratios = verdicts.log_ratios(known, run.session.baseline)
    logs = _alone(known, keys) | {key: ratios[key[:3]] for key in keys if key[4] == _RATIOS and key[:3] in ratios}
    found = {key: one for key, one in logs.items()
             if len(one) >= FEWEST_PAIRS and known[key[:2]][key[2]].unit == key[3]}  # fmt: skip
    return zip(found, paired.centres(list(found.values())), strict=True)


def _alone(known: Tables, keys: Iterable[Key]) -> dict[Key, np.ndarray]:
    """Logarithms of the values of those costs that are compared by values."""
    found = {}
    for key in keys:
        one = known.get(key[:2], {}).get(key[2])
        if one is not None and key[4] == _VALUES:
            found[key] = paired.log_ratios(one.values, np.ones(len(one.values)))
    return found


class _Past(NamedTuple):
    """Earlier runs: for each cost its centres in the order of the runs, one part per fingerprint."""

    runs: int
    apart: int
    """How many runs A and B are apart."""
    centres: dict[Key, list[np.ndarray]]


def _past(sides: tuple[list[Run], list[Run]], earlier: Sequence[Run], keys: list[Key]) -> _Past:
    compared = [*sides[0], *sides[1]]
    own = {run.session.run_id for run in compared}
    runs = [run for run in sorted(earlier, key=lambda run: run.session.started) if run.session.run_id not in own]
    runs = [run for run in runs if run.session.baseline == compared[0].session.baseline]
    parts = [[run for run in runs if _is_of(run, sides[0])],
             [run for run in runs if _is_of(run, sides[1]) and not _is_of(run, sides[0])]]  # fmt: skip
    centres: dict[Key, list[np.ndarray]] = {}
    for part in parts:
        found: dict[Key, list[float]] = {}
        for run in part:
            for key, centre in _centres(run, keys):
                found.setdefault(key, []).append(centre)
        for key, values in found.items():
            centres.setdefault(key, []).append(np.array(values))
    ends = sorted((max if side is sides[0] else min)(run.session.started for run in side) for side in sides)
    between_them = sum(ends[0] < run.session.started < ends[1] for run in runs)
    return _Past(sum(map(len, parts)), 1 + between_them, centres)


def _is_of(run: Run, side: list[Run]) -> bool:
    return any(alike(run.session, one.session) for one in side)


def _changes(
    keys: list[Key], costs: tuple[dict[Key, list[_Cost]], dict[Key, list[_Cost]]], past: _Past, band: float, of: str
) -> tuple[list[Change], RunNoise]:
    """The verdicts on costs that share one correction for multiple comparisons, and the variation between runs."""
    a, b = costs
    levels = {key: ([c.level for c in a[key] if c.level], [c.level for c in b[key] if c.level]) for key in keys}
    told = {key: pair for key, pair in levels.items() if all(pair)}
    usual = between.usual_variance(list(told.values()))
    noises = dict(zip(told, between.noises([past.centres.get(key, []) for key in told], past.apart), strict=True))
    shifts = {key: between.shift(*pair, usual, noises[key]) for key, pair in told.items()}
    strayed = {key: max(cost.strayed for cost in (*a[key], *b[key])) for key in keys}
    p = {key: between.p_beyond(one, math.log1p(band) + strayed[key]) for key, one in shifts.items()}
    adjusted = dict(zip(p, paired.holm(np.array(list(p.values()))), strict=True))
    outside = paired.holm_level(np.array(list(p.values())))
    changes = []
    for key in keys:
        ratio, low, high = _interval(shifts.get(key), strayed[key], band, outside)
        word = verdict(ratio, low, high, band) if key in shifts else "inconclusive"
        document = dict(zip(("scenario", "metric", "environment", "unit", "compared"), key, strict=True)) | {
            "of": of, "n_a": sum(c.n for c in a[key]), "n_b": sum(c.n for c in b[key]),
            "a": paired.median([c.median for c in a[key]]), "b": paired.median([c.median for c in b[key]]),
            "ratio": _some(ratio), "low": _some(low), "high": _some(high), "p": p.get(key),
            "p_adjusted": _some(float(adjusted.get(key, math.nan))),
            "verdict": word if key[3] == "second" else _NEUTRAL.get(word, word),
        }  # fmt: skip
        changes.append(msgspec.convert(document, Change))
    return changes, _run_noise(told, shifts, noises, past)


def _run_noise(
    told: dict[Key, tuple[list[Level], list[Level]]],
    shifts: dict[Key, between.Shift],
    noises: dict[Key, between.Noise | None],
    past: _Past,
) -> RunNoise:
    """The source on which most costs rest."""
    each = [shifts[key].error / math.sqrt(1 / len(a) + 1 / len(b)) for key, (a, b) in told.items()]
    compared = max((len(a) + len(b) for a, b in told.values()), default=2)
    if any(noises.values()):
        return RunNoise("earlier runs", past.runs, paired.median(each))
    if compared > 2:
        return RunNoise("runs compared", compared, paired.median(each))
    return RunNoise("floor", 0, between.BETWEEN_RUNS)


def _interval(found: between.Shift | None, strayed: float, band: float, outside: float) -> tuple[float, float, float]:
    """The ratio and the interval that decides: at 95 %, or at Holm's level if it would claim a change."""
    if found is None:
        return math.nan, math.nan, math.nan
    low, high = between.bounds(found)
    edge = math.log1p(band) + strayed
    if low > edge or high < -edge:
        low, high = between.claimed(found, outside)
    return _exp(found.centre), _exp(low - strayed), _exp(high + strayed)


def _exp(log: float) -> float:
    return math.exp(max(min(log, 700.0), -700.0))


def _some(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _host(
    keys: list[Key], costs: tuple[dict[Key, list[_Cost]], dict[Key, list[_Cost]]], baseline: str, band: float
) -> HostMove | None:
    """The change of the host's speed in these runs, as a fact about them: without the variation between runs."""
    shifts = []
    for key in keys:
        if (key[2], key[3]) == (baseline, "second"):
            sides = [[one.level for one in costs_of[key] if one.level] for costs_of in costs]
            if all(sides):
                shifts.append(between.within(*sides))
    if not shifts:
        return None
    found = between.middle(shifts)
    low, high = between.bounds(found)
    edge = math.log1p(band)
    moved = low > edge or high < -edge
    return HostMove(_exp(found.centre), _exp(low), _exp(high), len(shifts), moved)


def facts(session: Session) -> dict[str, str]:
    """What may make two runs differ: the host's fingerprint, isobench's version, the profile."""
    return {**session.fingerprint, "isobench": session.isobench, "profile": session.profile}


def _facts(sides: tuple[list[Run], list[Run]]) -> list[str]:
    return sorted({key for side in sides for run in side for key in facts(run.session)})


def _fact(runs: list[Run], fact: str) -> str:
    """The values of a fact in the runs of one side; all of them if they differ."""
    return ", ".join(sorted({facts(run.session).get(fact, "") for run in runs}))


def _name(run: Run) -> RunName:
    session = run.session
    pruned = session.pruned.at if session.pruned is not None else ""
    return RunName(as_text(str(run.path)), session.run_id, session.host_id, session.started, session.label, pruned)
